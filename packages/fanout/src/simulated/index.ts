/** The simulator, run from a command line. */
export { runSimulation } from './simulated-fanout.ts'
