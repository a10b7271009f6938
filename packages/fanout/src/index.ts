export * from './report/pictures.ts'
export * from './report/table.ts'
export * from './result.ts'
