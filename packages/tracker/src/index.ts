export { type ConnectedAgent, remoteHostOf } from './announce-server.ts'
export * from './tracker.ts'
