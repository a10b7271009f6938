export * from './node/node-engine.ts'
export * from './node/protocol.ts'
export * from './tracker-table.ts'
