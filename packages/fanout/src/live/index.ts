/** Real agents and a real seeder, measured. */
export { showProgress } from './progress.ts'
export { type LiveFanoutOptions, runLiveFanout } from './run.ts'
export { summaryText } from './summary.ts'
export { DIFFERENCE_MAX, differencesOf, runBoth } from './validation.ts'
