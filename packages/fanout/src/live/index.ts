/** Real agents and a real seeder, measured. */

export { type LiveFanoutOptions, runLiveFanout } from './live-fanout.ts'
export { showProgress } from './progress.ts'
export { summaryText } from './summary.ts'
export { DIFFERENCE_MAX, differencesOf, runBoth } from './validation.ts'
