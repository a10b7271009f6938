export * from './backend.ts'
export type { ScrubOptions, ScrubReport } from './image-store/blob-checks.ts'
export { BlobHasher, type BlobHasherInit, type HashedBlob } from './image-store/blob-hasher.ts'
export type { BlobMetainfo } from './image-store/blob-library.ts'
export type { GarbageOptions, GarbageOutcome, GarbageReport } from './image-store/garbage-collection.ts'
export {
  ImageStore,
  type ImageStoreEvents,
  type ImageStoreParts,
  type WatchUpload,
} from './image-store/image-store.ts'
export { cutReferrersPage } from './image-store/referrers-page.ts'
export type { UploadWatcher } from './image-store/upload-session.ts'
export type { UploadLimits } from './image-store/upload-sessions.ts'
export { RequestCutError } from './oci-errors.ts'
export { type RegistryPluginOptions, registryPlugin, registryRouting } from './plugin.ts'
