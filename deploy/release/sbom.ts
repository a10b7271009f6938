/**
 * What is in the image and in the archive beside Shoal's own code, as CycloneDX: npm's own list from the lock file, of which
 * those packages stay that are there, without what differs from one run to the next.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const TIMEOUT_MS = 60_000
const LIST_BYTES_MAX = 16 * 1024 * 1024

interface Component {
  /** `name@version` */
  readonly 'bom-ref': string
}

interface Bom {
  readonly components: readonly Component[]
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[]
}

export interface SbomInit {
  readonly repository: string
  readonly trees: readonly string[]
  readonly version: string
  readonly nodeVersion: string
  /** ISO 8601 */
  readonly created: string
}

export function sbomOf({ repository, trees, version, nodeVersion, created }: SbomInit): object {
  const words = ['sbom', '--sbom-format=cyclonedx', '--package-lock-only', '--omit=dev']
  const text = execFileSync('npm', [...words, '--workspace=@shoal/cli', '--no-update-notifier'], {
    cwd: repository,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: TIMEOUT_MS,
    maxBuffer: LIST_BYTES_MAX,
  })
  const bom: Bom = JSON.parse(text)
  const there = new Set(trees.flatMap((tree) => packagesIn(join(tree, 'node_modules'))))
  const components = bom.components.filter((component) => there.has(component['bom-ref']))
  const refs = new Set(components.map((component) => component['bom-ref']))
  const node = {
    'bom-ref': `node@${nodeVersion}`,
    type: 'platform',
    name: 'node',
    version: nodeVersion,
    purl: `pkg:generic/node@${nodeVersion}`,
    licenses: [{ license: { id: 'MIT' } }],
  }
  // Without the serial number, which is another each time, and the version of the npm that made the list.
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      timestamp: created,
      component: {
        'bom-ref': `shoal@${version}`,
        type: 'application',
        name: 'shoal',
        version,
        licenses: [{ license: { id: 'Apache-2.0' } }],
      },
    },
    components: [...components, node],
    dependencies: bom.dependencies
      .filter(({ ref }) => refs.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => refs.has(one)) })),
  }
}

/** As `name@version`, nested ones too. */
function packagesIn(modules: string): string[] {
  return readdirSync(modules, { recursive: true, encoding: 'utf8' })
    .filter((path) => /^(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/@]+\/package\.json$/.test(path))
    .map((path) => {
      const { name, version } = JSON.parse(readFileSync(join(modules, path), 'utf8'))
      return `${name}@${version}`
    })
}
