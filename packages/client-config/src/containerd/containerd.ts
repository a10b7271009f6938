/** What containerd's files should hold. Pure. */
import { parseToml } from '../documents.ts'
import { RuntimeRefusedError } from '../errors.ts'
import { type HostView, ownFile, type RuntimePlan, type WantedFile } from '../plan.ts'
import type { Wish } from '../wish.ts'
import { hostFolders, hostsText } from './hosts-file.ts'
import { MAIN_CONFIG, registryConfig, withConfigPath } from './main-config.ts'

/** Kubernetes distributions that write containerd's configuration themselves, at each start. */
const GENERATORS = [
  { name: 'k3s', folders: ['/var/lib/rancher/k3s/agent/etc/containerd', '/etc/rancher/k3s'] },
  { name: 'rke2', folders: ['/var/lib/rancher/rke2/agent/etc/containerd', '/etc/rancher/rke2'] },
]
const DEFAULT_FOLDER = '_default'
const IS_CERTIFICATE = /\.(?:crt|cert|key)$/

/** @throws RuntimeRefusedError when nothing can be installed */
export function planContainerd(view: HostView, wish: Wish): RuntimePlan {
  const generator = GENERATORS.find(({ folders }) => folders.some((folder) => view.hasFolder(folder)))
  if (generator !== undefined && view.read(MAIN_CONFIG) === undefined) refuseGenerated(generator.name, wish)
  const config = registryConfig(view)
  const [root, ...others] = config.folders
  if (!isBelow(root, '/etc/containerd') && !view.hasFolder(parentOf(root)))
    throw new RuntimeRefusedError(
      config.path,
      `says that hosts.toml files are in ${root}, and ${parentOf(root)} is not there; create it, or mount it below --root`,
    )
  const notes: string[] = []
  const files: WantedFile[] = []
  const blocked: { path: string; reason: string }[] = []
  const want = (folders: readonly [string, ...string[]], text: string, obstacle: string | undefined) => {
    const path = `${root}/${folders[0]}/hosts.toml`
    parseToml(path, text)
    if (obstacle !== undefined) blocked.push({ path, reason: obstacle })
    else files.push(ownFile({ path, runtimes: ['containerd'], text, byHand: byHand(wish) }))
  }
  if (wish.everyRegistry)
    want([DEFAULT_FOLDER], hostsText(wish.agent), obstacleToDefault(view, config.folders, wish))
  for (const registry of wish.registries) {
    const folders = hostFolders(registry.host)
    want(folders, hostsText(wish.agent, registry), obstacle(view, config.folders, folders, wish))
  }
  const general = `${root}/${DEFAULT_FOLDER}/hosts.toml`
  if (view.read(general) !== undefined && wish.registries.length > 0)
    notes.push(
      `${general} was there before; it no longer counts for registries that have a folder of their own now`,
    )
  if (config.configPath === undefined)
    notes.push(
      `${config.path} switches the CRI plugin off: ctr --hosts-dir ${root} and nerdctl read these files, Kubernetes does not`,
    )
  else if (others.length === 0) files.push(mainConfig(config.path, config.configPath))
  else {
    const unseen = others.filter((folder) => !view.isOfHost(folder))
    const remedy =
      unseen.length > 0
        ? `mount ${unseen.join(' and ')} below --root, and run this again`
        : `move what is in ${others.join(' and ')} to ${root}, and leave only that in config_path`
    const reason = `names several folders for hosts.toml, and containerd 2.1 and later may read none of them; ${remedy}`
    if (config.isVersion2Only) blocked.push({ path: config.path, reason })
    else notes.push(`${config.path} ${reason}`)
  }
  return { files, blocked, notes }
}

function mainConfig(path: string, configPath: string): WantedFile {
  return {
    path,
    runtimes: ['containerd'],
    marks: [configPath],
    byHand: `put config_path = ${JSON.stringify(configPath)} into it by hand, or run shoal uninstall-client before this`,
    merge: (before) => withConfigPath(path, configPath, before),
  }
}

/** What in these folders containerd would no longer read, or would read instead. */
function obstacle(
  view: HostView,
  [root, ...laterRoots]: readonly string[],
  [chosen, ...others]: readonly [string, ...string[]],
  wish: Wish,
): string | undefined {
  const hidden = [
    ...others.map((folder) => `${root}/${folder}`),
    ...laterRoots.flatMap((later) => [chosen, ...others].map((folder) => `${later}/${folder}`)),
  ]
  for (const folder of hidden) {
    const found = view.list(folder).find((name) => name === 'hosts.toml' || IS_CERTIFICATE.test(name))
    if (found !== undefined) return hiding(`${folder}/${found}`, wish)
  }
  const names = view.list(`${root}/${chosen}`)
  const certificate = names.find((name) => IS_CERTIFICATE.test(name))
  if (names.includes('hosts.toml') || certificate === undefined) return undefined
  return hiding(`${root}/${chosen}/${certificate}`, wish)
}

/** `_default` in the first folder answers for every registry that has none there: later folders are never looked into. */
function obstacleToDefault(view: HostView, folders: readonly string[], wish: Wish): string | undefined {
  const [, ...laterRoots] = folders
  for (const later of laterRoots) {
    if (!view.isOfHost(later))
      return `might hide what is in ${later}, which is not to be seen from here; mount it below --root, and run this again`
    for (const name of view.list(later)) {
      const found = view
        .list(`${later}/${name}`)
        .find((file) => file === 'hosts.toml' || IS_CERTIFICATE.test(file))
      if (found !== undefined) return hiding(`${later}/${name}/${found}`, wish)
    }
  }
  return obstacle(view, folders, [DEFAULT_FOLDER], wish)
}

function hiding(path: string, wish: Wish): string {
  return path.endsWith('/hosts.toml')
    ? `would hide ${path}, which containerd reads now; ${byHand(wish)}`
    : `would hide ${path}, which containerd reads only where there is no hosts.toml; write one there by hand that names it as ca, or move it away and run this again`
}

function refuseGenerated(name: string, { agent }: Wish): never {
  throw new RuntimeRefusedError(
    `/etc/rancher/${name}/registries.yaml`,
    `${name} writes containerd’s configuration itself at each start; add "http://${agent}" to the endpoints of these registries there, and restart ${name}`,
  )
}

function byHand({ agent }: Wish): string {
  return `add [host."http://${agent}"] with capabilities = ["pull", "resolve"] to it by hand, or move it away and run this again`
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`)
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.replace(/\/+$/, '').lastIndexOf('/')))
}
