/** Answers agents over HTTP: what a reference means, and where everything is that a pull of it needs. */
import { OciError } from '@shoal/oci'
import { remoteHostOf, type Tracker } from '@shoal/tracker'
import {
  encodeResolution,
  RESOLUTION_MEDIA_TYPE,
  RESOLVE_PATH,
  STREAM_SECRET_HEADER,
  UNSERVED_REGISTRY_HEADER,
  UPSTREAM_PROBLEM_STATUS,
} from '@shoal/wire'
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { isUnusable } from './mirror/mirrored-manifests.ts'
import type { Question, Resolver } from './resolver.ts'

const Query = Type.Object({
  repository: Type.String({ maxLength: 255 }),
  reference: Type.Optional(Type.String({ maxLength: 256 })),
  blob: Type.Optional(Type.String({ maxLength: 256 })),
  platform: Type.Optional(Type.String({ maxLength: 64, pattern: '^[a-z0-9/._-]*$' })),
  peerId: Type.Optional(Type.String({ pattern: '^([0-9a-f]{40})?$' })),
  wait: Type.Optional(Type.Boolean()),
  later: Type.Optional(Type.Boolean()),
})

export function resolveApi(
  server: FastifyInstance,
  { resolver, tracker }: { readonly resolver: Resolver; readonly tracker: Pick<Tracker, 'isFrom'> },
): void {
  server.get<{ Querystring: Question }>(
    RESOLVE_PATH,
    { schema: { querystring: Query } },
    async (request, reply) => {
      const { peerId, ...question } = request.query
      const streamSecret = request.headers[STREAM_SECRET_HEADER]?.toString()
      const isProven =
        !!peerId && tracker.isFrom(peerId, { streamSecret, remoteHost: remoteHostOf(request.raw) })
      const asked = resolver.resolve(peerId ? { ...question, peerId, isProven } : question)
      const resolution = await asked.catch((error: unknown) => {
        if (!(error instanceof OciError)) throw error
        return error
      })
      if (resolution === undefined) {
        const { repository, reference } = question
        const unserved = reference === undefined ? undefined : await resolver.unservedRegistry(repository)
        if (unserved !== undefined) reply.header(UNSERVED_REGISTRY_HEADER, unserved)
        return reply.code(404).send()
      }
      // Whoever asked the other registry has logged it. Other agents may have the image, so this is not a plain 404.
      if (resolution instanceof OciError) {
        if (isUnusable(resolution)) return reply.code(404).send()
        return reply.code(UPSTREAM_PROBLEM_STATUS).send(resolution.body())
      }
      return reply.type(RESOLUTION_MEDIA_TYPE).send(encodeResolution(resolution))
    },
  )
}
