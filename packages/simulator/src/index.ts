export * from './scenario.ts'
export * from './simulate.ts'
export * from './strategy-run.ts'
