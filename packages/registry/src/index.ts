export * from './backend.ts'
export type { ScrubReport } from './image-store/blob-checks.ts'

export type { BlobMetainfo } from './image-store/blob-library.ts'
export type { GarbageOutcome } from './image-store/garbage-collection.ts'
export { ImageStore } from './image-store/image-store.ts'
export { cutReferrersPage } from './image-store/referrers-page.ts'
export type { UploadWatcher } from './image-store/upload-session.ts'

export { registryPlugin, registryRouting } from './plugin.ts'
