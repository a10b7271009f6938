export * from './result.ts'
export * from './sim/scenario.ts'
