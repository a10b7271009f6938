export { upstreamAddress } from './address.ts'

export { Credentials } from './credentials.ts'
export { EcrLogins } from './ecr.ts'
export * from './errors.ts'
export { type Answer, call, header, openConnections, readShortBody } from './images/connection.ts'
export { credentialsFor } from './images/credentials.ts'
export { RegistryUnreachableError } from './images/errors.ts'
export { inParallel } from './images/in-parallel.ts'
export { pullImage } from './images/pull.ts'
export { type PushedContent, type PushTarget, pushContent, pushImage } from './images/push.ts'
export { UPSTREAM_LIMITS } from './limits.ts'

export { UpstreamClient } from './upstream-client.ts'
