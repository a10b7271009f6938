/**
 * The manifests of deploy/kubernetes, for those without Helm: the chart with its own values, in few files, without what only
 * Helm has a use for. Pure.
 */
import { NAMESPACE, type RenderedChart } from './chart-renderer.ts'

/** Their images are set by kustomization.yaml. */
export const PLAIN_VALUES = { image: { repository: 'registry.example.com/shoal' } }

const HEADER = `# Rendered from deploy/helm/shoal with its own values. Change that, then run: npm run manifests
`

/** Agents and what they do to nodes are beyond what other Pod Security Standards allow. */
const NAMESPACE_MANIFEST = `${HEADER}apiVersion: v1
kind: Namespace
metadata:
  name: ${NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: privileged
`

/** Templates by file. The hooks that wait are for Helm: kubectl waits itself. */
const FILES: Readonly<Record<string, RegExp>> = {
  'seeder.yaml': /^templates\/(seeder-|networkpolicies)/,
  'agent.yaml': /^templates\/agent-/,
  'uninstall/uninstall.yaml': /^templates\/cleanup-(daemonset|serviceaccount)\.yaml$/,
}

/** @returns text by the file's path in deploy/kubernetes */
export function plainManifests({ files }: RenderedChart): ReadonlyMap<string, string> {
  const manifests = Object.entries(FILES).map(([path, pattern]) => {
    const texts = [...files]
      .filter(([template]) => pattern.test(template))
      .toSorted(([a], [b]) => a.localeCompare(b))
      .map(([, text]) => withoutHelm(text))
    return [path, `${HEADER}${texts.join('---\n')}`] as const
  })
  return new Map([['namespace.yaml', NAMESPACE_MANIFEST], ...manifests])
}

function withoutHelm(text: string): string {
  return (
    text
      .replaceAll(/^ *(helm\.sh\/.*|app\.kubernetes\.io\/managed-by: Helm|checksum\/config: .*)\n/gm, '')
      // Nothing is left of these.
      .replaceAll(/^( *)annotations:\n(?!\1 )/gm, '')
      .replaceAll(/^# Source: .*\n/gm, '')
      .replaceAll(/^(---\n)+/gm, '---\n')
      .replaceAll(/\n{2,}/g, '\n')
      .replace(/^(?:---)?\n+/, '')
      .replace(/\n*$/, '\n')
  )
}
