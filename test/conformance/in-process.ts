/** The registry's routes over an image store in a folder, in this process: for what no service has a setting for yet. */
import { randomUUID } from 'node:crypto'
import type { Manifest } from '@shoal/oci'
import { ImageStore, type RegistryBackend, registryPlugin, registryRouting } from '@shoal/registry'
import { createHttpServer } from '@shoal/service'
import { FilesystemObjectStore } from '@shoal/storage'
import { pino } from 'pino'
import { temporaryFolder } from '../support/temporary-folder.ts'

export interface InProcessRegistry {
  readonly url: string
  stop(): Promise<void>
}

/** @param init.warning what every manifest comes with */
export async function startInProcess(init: {
  readonly allowDelete?: boolean
  readonly warning?: string
}): Promise<InProcessRegistry> {
  const folder = await temporaryFolder('conformance')
  const log = pino({ level: 'silent' })
  const objects = new FilesystemObjectStore({ folder: folder.path })
  await objects.start()
  const images = new ImageStore({ objects, log, nowMs: Date.now, newId: randomUUID })
  const { warning } = init
  const warned = (manifest: Manifest | undefined) =>
    manifest === undefined || warning === undefined ? manifest : { ...manifest, warning }
  const backend: RegistryBackend = {
    manifest: async (repository, reference) => warned(await images.manifest(repository, reference)),
    tags: (...asked) => images.tags(...asked),
    hasRepository: (repository) => images.hasRepository(repository),
    blobStat: (repository, digest, purpose) => images.blobStat(repository, digest, purpose),
    readBlob: (...asked) => images.readBlob(...asked),
    referrers: (repository, subject, query) => images.referrers(repository, subject, query),
    push: images.push,
    remove: images.remove,
  }
  const server = createHttpServer(log, { routing: registryRouting })
  await server.register(registryPlugin, { backend, allowDelete: init.allowDelete ?? true })
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  return {
    url,
    stop: async () => {
      await server.close()
      await images.stop()
      await objects.stop()
      await folder.remove()
    },
  }
}
