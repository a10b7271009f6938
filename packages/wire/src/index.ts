export * from './announce-stream.ts'
export * from './errors.ts'
export * from './msgpack.ts'
export * from './resolution.ts'
