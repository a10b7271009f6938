export { upstreamAddress } from './address.ts'
export { call, openConnections } from './call.ts'

export { Credentials } from './credentials.ts'
export { EcrLogins } from './ecr.ts'
export * from './errors.ts'
export { UPSTREAM_LIMITS } from './limits.ts'

export { pullImage } from './pull.ts'
export { type PushedContent, type PushTarget, pushContent, pushImage } from './push.ts'
export { pushLogin } from './push-login.ts'

export { UpstreamClient } from './upstream-client.ts'
