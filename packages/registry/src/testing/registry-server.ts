/** A registry on a real socket, over an image store in memory, and what a client needs to push to it. */
import { randomUUID } from 'node:crypto'
import type { Digest } from '@shoal/core'
import { MEDIA_TYPES } from '@shoal/oci'
import { sha256 } from '@shoal/testing/content'
import { MapObjectStore } from '@shoal/testing/map-object-store'
import Fastify, { type FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { RegistryBackend } from '../backend.ts'
import { ImageStore, type ImageStoreParts } from '../image-store/image-store.ts'
import type { UploadLimits } from '../image-store/upload-sessions.ts'
import { type RegistryPluginOptions, registryPlugin, registryRouting } from '../plugin.ts'

export interface RegistryServer {
  readonly url: string
  readonly port: number
  readonly objects: MapObjectStore
  readonly images: ImageStore
  readonly server: FastifyInstance
  close(): Promise<void>
}

export interface RegistryServerInit {
  readonly backend?: (images: ImageStore) => RegistryBackend
  readonly plugin?: Partial<RegistryPluginOptions>
  readonly limits?: Partial<UploadLimits>
  readonly parts?: Partial<ImageStoreParts>
}

export async function startRegistry(init: RegistryServerInit = {}): Promise<RegistryServer> {
  const objects = new MapObjectStore()
  const log = pino({ level: 'silent' })
  const images = new ImageStore(
    { objects, log, nowMs: () => Date.now(), newId: randomUUID, ...init.parts },
    init.limits ?? {},
  )
  const server = Fastify({ frameworkErrors: registryRouting.frameworkErrors })
  await server.register(registryPlugin, { backend: init.backend?.(images) ?? images, ...init.plugin })
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  return {
    url,
    port: Number(new URL(url).port),
    objects,
    images,
    server,
    close: async () => {
      server.server.closeAllConnections()
      await server.close()
      await images.stop()
    },
  }
}

export async function pushBlob(url: string, repository: string, bytes: Uint8Array | string): Promise<Digest> {
  const digest = sha256(bytes)
  const answer = await fetch(`${url}/v2/${repository}/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    body: bytes as unknown as string,
  })
  if (answer.status !== 201) throw new Error(`push answered ${answer.status}: ${await answer.text()}`)
  return digest
}

/** The JSON of an image with one configuration and the given layers, all of which are pushed. */
export async function pushImage(url: string, repository: string, tag: string, ...layers: string[]) {
  const config = '{}'
  const layerDigests: Digest[] = []
  for (const layer of layers) layerDigests.push(await pushBlob(url, repository, layer))
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: await pushBlob(url, repository, config), size: 2 },
    layers: layers.map((layer, index) => ({
      mediaType: MEDIA_TYPES.ociLayer,
      digest: layerDigests[index],
      size: Buffer.byteLength(layer),
    })),
  })
  const answer = await putManifest(url, repository, tag, manifest)
  if (answer.status !== 201) throw new Error(`push answered ${answer.status}: ${await answer.text()}`)
  return { manifest, digest: sha256(manifest), layerDigests }
}

export function putManifest(
  url: string,
  repository: string,
  reference: string,
  manifest: string | Uint8Array,
  contentType: string = MEDIA_TYPES.ociManifest,
): Promise<Response> {
  return fetch(`${url}/v2/${repository}/manifests/${reference}`, {
    method: 'PUT',
    headers: { 'content-type': contentType },
    body: manifest as unknown as string,
  })
}

/** The code of an answer's OCI body; fails when it has none. */
export async function codeOf(answer: Response): Promise<string> {
  const body = (await answer.json()) as { errors: { code: string; message: string }[] }
  if (typeof body.errors[0]?.message !== 'string') throw new Error('no OCI body')
  return body.errors[0].code
}
