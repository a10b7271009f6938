export * from './scenario.ts'
export * from './simulate.ts'
export * from './simulation.ts'
export * from './strategy-run.ts'
