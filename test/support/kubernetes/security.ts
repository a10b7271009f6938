/**
 * What pods may do: everything that the restricted Pod Security Standard asks of containers, and the few exceptions by name.
 * Pure.
 */
import { type Container, type Content, containersOf, type KubernetesObject, workloadsIn } from './objects.ts'

/** Run as root, because they work on folders of the node that are root's; with nothing but these capabilities. */
const ROOT_CONTAINERS: Readonly<Record<string, readonly string[]>> = {
  'own-cache': ['CHOWN', 'DAC_READ_SEARCH'],
  'install-client': ['CHOWN', 'DAC_OVERRIDE', 'FOWNER'],
  'uninstall-client': ['CHOWN', 'DAC_OVERRIDE', 'FOWNER'],
}
/** The only ones that see a token for the API server. */
const TOKEN_CONTAINERS = ['node-zone', 'wait']
/** The agent's own folder on the node, the only one that it may write to. */
const NODE_VOLUME_OF_AGENT = 'cache'
/** What `shoal doctor` looks at in the agent's container, as a user who may read little of it. */
const NODE_VOLUMES_READ = ['client-config', 'client-state']
const VOLUME_KINDS = ['configMap', 'emptyDir', 'hostPath', 'projected', 'secret']

export function securityProblems(objects: readonly KubernetesObject[]): string[] {
  const ofAccounts = objects
    .filter(
      ({ kind, automountServiceAccountToken }) =>
        kind === 'ServiceAccount' && automountServiceAccountToken !== false,
    )
    .map(({ metadata }) => `ServiceAccount ${metadata.name}: its token is mounted everywhere`)
  const ofPods = workloadsIn(objects).flatMap((workload) => {
    const pod = workload.spec.template.spec
    const where = `${workload.kind} ${workload.metadata.name}`
    const problems: string[] = []
    if (pod.automountServiceAccountToken !== false) problems.push('its token is mounted everywhere')
    if (pod.hostPID || pod.hostIPC) problems.push('it sees processes of the node')
    for (const { name, ...kinds } of pod.volumes ?? [])
      if (Object.keys(kinds).some((kind) => !VOLUME_KINDS.includes(kind))) problems.push(`volume ${name}`)
    return [
      ...problems.map((problem) => `${where}: ${problem}`),
      ...containersOf(workload).flatMap((one) =>
        [...containerProblems(one)].map((text) => `${one.where}: ${text}`),
      ),
    ]
  })
  return [...ofAccounts, ...ofPods, ...rightProblems(objects)]
}

function* containerProblems({ container, pod, isInit }: Container): Generator<string> {
  const context = container.securityContext ?? {}
  const allowed = isInit ? ROOT_CONTAINERS[container.name] : undefined
  const { runAsNonRoot, runAsUser } = { ...pod.securityContext, ...context }
  if (allowed === undefined && (runAsNonRoot !== true || runAsUser !== 65_532)) yield 'it may be root'
  if (context.privileged) yield 'it is privileged'
  if (context.allowPrivilegeEscalation !== false) yield 'it may become root'
  if (context.readOnlyRootFilesystem !== true) yield 'its root file system can be written'
  if (context.capabilities?.drop?.join() !== 'ALL') yield 'it keeps capabilities'
  const added: string[] = context.capabilities?.add ?? []
  if (added.join() !== (allowed ?? []).join()) yield `it is given ${added.join(', ')}`
  if (pod.securityContext?.seccompProfile?.type !== 'RuntimeDefault') yield 'it has no seccomp profile'
  if (container.resources?.limits?.memory === undefined) yield 'its memory has no limit'
  for (const { name, readOnly } of container.volumeMounts ?? []) {
    const volume = (pod.volumes ?? []).find((one: Content) => one.name === name)
    const isRead = readOnly === true && NODE_VOLUMES_READ.includes(name)
    if (volume?.hostPath && allowed === undefined && name !== NODE_VOLUME_OF_AGENT && !isRead)
      yield `it sees ${volume.hostPath.path} of the node`
    if (volume?.projected && !TOKEN_CONTAINERS.includes(container.name)) yield 'it sees a token'
  }
}

/** Beyond the namespace, getting nodes and nothing else. */
function rightProblems(objects: readonly KubernetesObject[]): string[] {
  return objects.flatMap(({ kind, metadata, rules }) => {
    const wanted = kind === 'ClusterRole' ? [['nodes:get']] : [['daemonsets:get'], ['pods:list']]
    if (kind !== 'ClusterRole' && kind !== 'Role') return []
    const given = rules.map(({ resources, verbs }: Content) => [`${resources}:${verbs}`])
    return JSON.stringify(given) === JSON.stringify(wanted)
      ? []
      : [`${kind} ${metadata.name}: ${JSON.stringify(given)}`]
  })
}
