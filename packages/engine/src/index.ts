export * from './node/node-engine.ts'
export * from './node/protocol.ts'
export * from './tracker/protocol.ts'
export * from './tracker/tracker-table.ts'
