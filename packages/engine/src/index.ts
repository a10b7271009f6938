export * from './tracker-table.ts'
