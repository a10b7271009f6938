/** The simulator, run from a command line. */
export { runSimulation } from './run.ts'
