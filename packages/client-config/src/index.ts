/** The configuration of a node's container clients: installed, taken back, looked at. */
export * from './errors.ts'
export { type InspectedFile, inspectClientConfig } from './inspect.ts'
export { type InstallRequest, installClient, type RunParts } from './install.ts'
export { type ClientReport, type FileReport, isComplete, reportLines } from './report.ts'
export { type UninstallRequest, uninstallClient } from './uninstall.ts'
export { AGENT_DEFAULT, REGISTRIES_DEFAULT, RUNTIMES, type Runtime } from './wish.ts'
