export * from './backend.ts'
export { RequestCutError } from './oci-errors.ts'
export { type RegistryPluginOptions, registryFrameworkErrors, registryPlugin } from './plugin.ts'
