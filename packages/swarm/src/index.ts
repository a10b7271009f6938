export * from './engine.ts'
export * from './errors.ts'
export * from './transfer.ts'
export * from './webtorrent-engine.ts'
