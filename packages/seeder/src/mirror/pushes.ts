/** The pushes and removals of the image store, under the names that clients say. */
import type { ImageStore, RegistryPush, RegistryRemove } from '@shoal/registry'
import type { Locations } from './locations.ts'

type OfRepository<Rest extends unknown[], Result> = (repository: string, ...rest: Rest) => Promise<Result>

/** A push goes to the repository that a pull of the same name finds; to what is mirrored nobody pushes. */
export function pushesTo(images: ImageStore, locations: Locations): RegistryPush {
  const under =
    <Rest extends unknown[], Result>(push: OfRepository<Rest, Result>): OfRepository<Rest, Result> =>
    async (name, ...rest) =>
      push.call(images, locations.pushable(name), ...rest)
  const mountBlob = under(images.mountBlob)
  return {
    startUpload: under(images.startUpload),
    uploadStatus: under(images.uploadStatus),
    appendUpload: under(images.appendUpload),
    finishUpload: under(images.finishUpload),
    cancelUpload: under(images.cancelUpload),
    putManifest: under(images.putManifest),
    // What is mirrored here may be mounted from.
    mountBlob: (name, digest, from) =>
      mountBlob(name, digest, from === undefined ? undefined : locations.locate(from).repository),
  }
}

/** What is mirrored may be removed: it comes back when somebody asks for it. */
export function removalsFrom(images: ImageStore, locations: Locations): RegistryRemove {
  return {
    removeManifest: (name, reference) => images.removeManifest(locations.locate(name).repository, reference),
    removeBlob: (name, digest) => images.removeBlob(locations.locate(name).repository, digest),
  }
}
