export { type UpstreamAddress, upstreamAddress } from './address.ts'
export type { UpstreamTls } from './connections.ts'
export type { Credential, EcrRegistry, IdentityToken, Login } from './credential.ts'
export { Credentials, type CredentialsInit } from './credentials.ts'
export { type EcrInit, EcrLogins, ecrRegistryOf } from './ecr.ts'
export * from './errors.ts'
export { type Answer, call, header, openConnections, readShortBody } from './images/connection.ts'
export { credentialsFor } from './images/credentials.ts'
export { RegistryUnreachableError } from './images/errors.ts'
export { inParallel } from './images/in-parallel.ts'
export { pullImage } from './images/pull.ts'
export { type PushedContent, type PushTarget, pushContent, pushImage } from './images/push.ts'
export { UPSTREAM_LIMITS, type UpstreamLimits } from './limits.ts'
export type { UpstreamTags } from './lists.ts'
export type { RateLimit } from './rate-limit.ts'
export {
  type UpstreamBlob,
  UpstreamClient,
  type UpstreamClientInit,
  type UpstreamClientParts,
} from './upstream-client.ts'
