export { type UpstreamAddress, upstreamAddress } from './address.ts'
export { call, openConnections } from './call.ts'
export type { UpstreamTls } from './connections.ts'
export type { Credential, EcrRegistry, IdentityToken, Login } from './credential.ts'
export { Credentials, type CredentialsInit } from './credentials.ts'
export { type EcrInit, EcrLogins, ecrRegistryOf } from './ecr.ts'
export * from './errors.ts'
export { inParallel } from './in-parallel.ts'
export { UPSTREAM_LIMITS, type UpstreamLimits } from './limits.ts'
export type { UpstreamTags } from './lists.ts'
export { pullImage } from './pull.ts'
export { type PushedContent, type PushTarget, pushContent, pushImage } from './push.ts'
export { pushLogin } from './push-login.ts'
export type { RateLimit } from './rate-limit.ts'
export {
  type UpstreamBlob,
  UpstreamClient,
  type UpstreamClientInit,
  type UpstreamClientParts,
} from './upstream-client.ts'
