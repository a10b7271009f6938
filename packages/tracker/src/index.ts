export type { ConnectedAgent } from './announce-server.ts'
export * from './tracker.ts'
