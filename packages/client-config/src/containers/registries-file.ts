/**
 * `registries.conf` and its drop-ins, which CRI-O, podman, skopeo and buildah read. Pure. containers-registries.conf(5).
 * A drop-in's entry replaces an earlier one of the same prefix, whatever else that says: nothing is written where there is
 * one.
 */
import { at, parseToml, type TomlDocument } from '../documents.ts'
import { RuntimeRefusedError } from '../errors.ts'
import type { HostView } from '../plan.ts'
import { mirrorPath, type Registry } from '../wish.ts'

const MAIN_CONFIG = '/etc/containers/registries.conf'
export const DROP_INS = '/etc/containers/registries.conf.d'
/** After those of distributions, which begin with 000. */
export const OWN_DROP_IN = '50-shoal.conf'
const DROP_INS_MAX = 200

export interface ExistingEntry {
  readonly path: string
  /** `docker.io`, `docker.io/library`, `*.corp` */
  readonly prefix: string
}

/** Of all files but Shoal's own. @throws RuntimeRefusedError when one is not valid */
export function existingEntries(view: HostView): readonly ExistingEntry[] {
  const dropIns = view.list(DROP_INS).filter((name) => name.endsWith('.conf') && name !== OWN_DROP_IN)
  if (dropIns.length > DROP_INS_MAX)
    throw new RuntimeRefusedError(DROP_INS, `has more than ${DROP_INS_MAX} files; remove some`)
  return [MAIN_CONFIG, ...dropIns.map((name) => `${DROP_INS}/${name}`)].flatMap((path) => {
    const text = view.read(path)
    if (text === undefined) return []
    const document = parseToml(path, text)
    return [...entriesOf(document), ...entriesOfVersion1(document)].map((prefix) => ({ path, prefix }))
  })
}

/** Whether an entry says something of all images of a registry. */
export function governs(prefix: string, { host }: Registry): boolean {
  if (prefix === host) return true
  return prefix.startsWith('*.') && host.replace(/:[0-9]+$/, '').endsWith(prefix.slice(1))
}

/** @returns undefined when these clients cannot be told where the registry is: they have no path before `/v2/` */
export function fallbackLocation({
  host,
  url,
}: Registry): { location: string; insecure: boolean } | undefined {
  if (url === undefined) return { location: host, insecure: false }
  const { host: location, pathname, protocol } = new URL(url)
  return pathname === '/' ? { location, insecure: protocol === 'http:' } : undefined
}

export function registriesText(agent: string, registries: readonly Registry[]): string {
  const entries = registries.map((registry) => {
    const { location, insecure } = fallbackLocation(registry) ?? { location: registry.host, insecure: false }
    return `
[[registry]]
prefix = "${registry.host}"
location = "${location}"
${insecure ? 'insecure = true\n' : ''}
[[registry.mirror]]
location = "${agent}/${mirrorPath(registry)}"
insecure = true
`
  })
  return `# Written by shoal install-client; shoal uninstall-client takes it back, unless it was edited.
${entries.join('')}`
}

function entriesOf({ registry }: TomlDocument): readonly string[] {
  if (!Array.isArray(registry)) return []
  return registry
    .map((entry) => at(entry, 'prefix') || at(entry, 'location'))
    .filter((prefix) => typeof prefix === 'string')
}

function entriesOfVersion1({ registries }: TomlDocument): readonly string[] {
  return ['insecure', 'block'].flatMap((list) => {
    const hosts = at(registries, list, 'registries')
    return Array.isArray(hosts) ? hosts.filter((host) => typeof host === 'string') : []
  })
}
