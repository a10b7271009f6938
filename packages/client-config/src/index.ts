/** The configuration of a node's container clients: installed, taken back, looked at. */
export * from './errors.ts'
export { type InspectedFile, inspectClientConfig } from './inspect.ts'
export { installClient } from './install.ts'
export { type ClientReport, isComplete, reportLines } from './report.ts'
export { uninstallClient } from './uninstall.ts'
export { AGENT_DEFAULT, REGISTRIES_DEFAULT, RUNTIMES, type Runtime } from './wish.ts'
