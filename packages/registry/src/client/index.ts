export type { Manifest as UpstreamManifest, ManifestStat as UpstreamManifestStat } from '../content.ts'
export { type UpstreamAddress, upstreamAddress } from './address.ts'
export type { UpstreamTls } from './connections.ts'
export {
  type Credential,
  Credentials,
  type CredentialsInit,
  type IdentityToken,
  type Login,
} from './credentials.ts'
export { type EcrInit, EcrLogins, type EcrRegistry, ecrRegistryOf } from './ecr.ts'
export * from './errors.ts'
export { UPSTREAM_LIMITS, type UpstreamLimits } from './limits.ts'
export type { UpstreamTags } from './lists.ts'
export type { RateLimit } from './rate-limit.ts'
export {
  type UpstreamBlob,
  UpstreamClient,
  type UpstreamClientInit,
  type UpstreamClientParts,
} from './upstream-client.ts'
