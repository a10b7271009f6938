/** Services as child processes: started, looked at, ended. */
export { Cleanup } from './cleanup.ts'
export { RunInterruptedError, RunRoomError, RunTimeoutError } from './errors.ts'
export { MetricsPage, readMetrics } from './metrics-page.ts'
export { ServiceProcess } from './service-process.ts'
export { withTimeLimit } from './time-limit.ts'
