/** Services as child processes: started, looked at, ended. */
export { Cleanup, type CleanupStep } from './cleanup.ts'
export { RunInterruptedError, RunRoomError, RunTimeoutError } from './errors.ts'
export { MetricMissingError } from './metric-missing.ts'
export { MetricsPage, readMetrics } from './metrics-page.ts'
export { ServiceEndedError } from './service-ended.ts'
export { type ReadyAddresses, ServiceProcess } from './service-process.ts'
export { type TimeLimit, withTimeLimit } from './time-limit.ts'
