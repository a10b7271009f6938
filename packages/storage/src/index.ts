export * from './errors.ts'
export * from './object-store.ts'
export * from './piece-store.ts'
export * from './read-whole.ts'
