/** The `.torrent` of a blob, for standard clients, with this seeder as its tracker. */
import { encodeTorrent, tryParseDigest } from '@shoal/core'
import type { ImageStore } from '@shoal/registry'
import type { FastifyInstance } from 'fastify'

export function torrentApi(
  server: FastifyInstance,
  { images }: { readonly images: Pick<ImageStore, 'metainfo'> },
): void {
  server.get<{ Params: { digest: string } }>('/api/v1/torrents/:digest', async (request, reply) => {
    const digest = tryParseDigest(request.params.digest.replace(/\.torrent$/, ''))
    const blob = digest && (await images.metainfo(digest))
    if (blob === undefined) return reply.code(404).send()
    const announceUrl = `${request.protocol}://${request.host}/announce`
    return reply.type('application/x-bittorrent').send(Buffer.from(encodeTorrent(blob.metainfo, announceUrl)))
  })
}
