/** `hosts.toml`: what containerd asks for the images of one registry. Pure. containerd's docs/hosts.md. */
import { type Registry, registryUrl } from '../wish.ts'

/** How long a node waits for an agent that does not answer; containerd's own is 30 s. Known since 2.0. */
const DIAL_TIMEOUT = '200ms'

/** @param registry none: every registry that has no folder of its own, which is then asked where its name says */
export function hostsText(agent: string, registry?: Registry): string {
  const server = registry === undefined ? '' : `server = ${JSON.stringify(registryUrl(registry))}\n\n`
  return `# Written by shoal install-client; shoal uninstall-client takes it back, unless it was edited.
${server}[host."http://${agent}"]
  capabilities = ["pull", "resolve"]
  dial_timeout = "${DIAL_TIMEOUT}"
`
}

/**
 * The folders in which containerd looks for a registry, in its order: 1.6 and later know both, and take the first that is
 * there.
 */
export function hostFolders(host: string): readonly [string, ...string[]] {
  const port = /^(.+):([0-9]+)$/.exec(host)
  return port === null ? [host] : [`${port[1]}_${port[2]}_`, host]
}
