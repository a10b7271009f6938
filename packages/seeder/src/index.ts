export * from './errors.ts'
export * from './seeder.ts'
export * from './settings.ts'
