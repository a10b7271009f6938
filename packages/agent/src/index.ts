export * from './agent.ts'
export * from './errors.ts'
export * from './settings.ts'
