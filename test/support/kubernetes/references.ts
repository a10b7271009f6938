/**
 * What Kubernetes finds out only when it runs the objects: that each of them means something that is there. Selectors and labels,
 * ports by name, volumes and mounts, keys of config maps, accounts and roles, variables in variables.
 * Pure.
 */
import {
  type Container,
  type Content,
  containersOf,
  find,
  type KubernetesObject,
  workloadsIn,
} from './objects.ts'

const CLUSTER_SCOPED = ['ClusterRole', 'ClusterRoleBinding', 'Namespace']
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
/** Every cluster has it in every namespace. */
const CONFIG_MAPS_OF_CLUSTER = ['kube-root-ca.crt']

type Labels = Readonly<Record<string, string>>

/** @returns one line for everything that hangs in the air */
export function referenceProblems(objects: readonly KubernetesObject[], namespace: string): string[] {
  const problems: string[] = []
  const say = (object: KubernetesObject, problem: string) =>
    problems.push(`${object.kind} ${object.metadata.name}: ${problem}`)
  const workloads = workloadsIn(objects)
  const selectedBy = (labels: Labels) => workloads.filter((one) => matches(labels, podLabelsOf(one)))
  const names = new Set<string>()
  for (const object of objects) {
    const { kind, metadata } = object
    const key = `${kind} ${metadata.name}`
    if (names.has(key)) say(object, 'is there twice')
    names.add(key)
    if (!NAME.test(metadata.name)) say(object, 'its name is none')
    const isScoped = !CLUSTER_SCOPED.includes(kind)
    if ((metadata.namespace !== undefined) !== isScoped) say(object, `its namespace is ${metadata.namespace}`)
    if (isScoped && metadata.namespace !== namespace) say(object, `is in ${metadata.namespace}`)
  }
  for (const workload of workloads) {
    const labels = workload.spec.selector?.matchLabels
    if (workload.kind !== 'Job' && selectedBy(labels).join() !== [workload].join())
      say(workload, 'its selector does not select its own pods alone')
    for (const problem of podProblems(workload, objects)) say(workload, problem)
  }
  for (const service of objects.filter(({ kind }) => kind === 'Service')) {
    const [target, ...others] = selectedBy(service.spec.selector)
    if (target === undefined || others.length > 0) say(service, 'does not select the pods of one workload')
    for (const { targetPort } of service.spec.ports)
      if (!portNames(target).includes(targetPort)) say(service, `no port is called ${targetPort}`)
  }
  for (const budget of objects.filter(({ kind }) => kind === 'PodDisruptionBudget'))
    if (selectedBy(budget.spec.selector.matchLabels).length !== 1) say(budget, 'selects no workload')
  for (const policy of objects.filter(({ kind }) => kind === 'NetworkPolicy')) {
    const [target] = selectedBy(policy.spec.podSelector.matchLabels)
    if (target === undefined) say(policy, 'selects nothing')
    for (const { ports, from } of policy.spec.ingress) {
      for (const { port } of ports) if (!portNames(target).includes(port)) say(policy, `no port ${port}`)
      if (from.length === 0) say(policy, 'an empty list of sources is everybody')
      for (const { podSelector, namespaceSelector } of from)
        if (podSelector && !namespaceSelector && selectedBy(podSelector.matchLabels).length !== 1)
          say(policy, 'a source is no workload')
    }
  }
  for (const ingress of objects.filter(({ kind }) => kind === 'Ingress'))
    for (const { service } of ingress.spec.rules.flatMap((rule: Content) =>
      rule.http.paths.map(({ backend }: Content) => backend),
    )) {
      const ports: Content[] = find(objects, 'Service', service.name)?.spec.ports ?? []
      if (!ports.some(({ name }) => name === service.port.name)) say(ingress, `no port ${service.port.name}`)
    }
  for (const binding of objects.filter(({ kind }) => kind.endsWith('RoleBinding'))) {
    if (find(objects, binding.roleRef.kind, binding.roleRef.name) === undefined) say(binding, 'no such role')
    for (const { kind, name } of binding.subjects)
      if (find(objects, kind, name) === undefined) say(binding, `no ${kind} ${name}`)
  }
  return problems
}

function* podProblems(workload: KubernetesObject, objects: readonly KubernetesObject[]): Generator<string> {
  const pod = workload.spec.template.spec
  if (find(objects, 'ServiceAccount', pod.serviceAccountName) === undefined)
    yield `no ServiceAccount ${pod.serviceAccountName}`
  if (workload.kind === 'StatefulSet') {
    const service = find(objects, 'Service', workload.spec.serviceName)
    if (service?.spec.clusterIP !== 'None') yield `${workload.spec.serviceName} is no headless Service`
  }
  const volumes = [...(pod.volumes ?? []), ...claimsOf(workload)]
  const volumeNames: string[] = volumes.map(({ name }) => name)
  if (new Set(volumeNames).size !== volumeNames.length) yield 'a volume is there twice'
  for (const { configMap, name } of pod.volumes ?? [])
    if (configMap && find(objects, 'ConfigMap', configMap.name) === undefined)
      yield `volume ${name}: no ConfigMap ${configMap.name}`
  for (const { configMap } of (pod.volumes ?? []).flatMap(
    (volume: Content) => volume.projected?.sources ?? [],
  ))
    if (configMap && !CONFIG_MAPS_OF_CLUSTER.includes(configMap.name)) yield `no ConfigMap ${configMap.name}`
  const mounted = new Set<string>()
  for (const one of containersOf(workload)) {
    for (const { name } of one.container.volumeMounts ?? []) mounted.add(name)
    yield* containerProblems(one, volumeNames)
  }
  for (const name of volumeNames) if (!mounted.has(name)) yield `volume ${name} is mounted nowhere`
}

function* containerProblems({ container, pod }: Container, volumeNames: string[]): Generator<string> {
  const mounts: Content[] = container.volumeMounts ?? []
  const say = (problem: string) => `container ${container.name}: ${problem}`
  for (const { name } of mounts) if (!volumeNames.includes(name)) yield say(`no volume ${name}`)
  for (const outer of mounts)
    for (const inner of mounts) {
      if (outer === inner) continue
      if (outer.mountPath === inner.mountPath) yield say(`${inner.mountPath} is mounted twice`)
      if (outer.readOnly && inner.mountPath.startsWith(`${outer.mountPath}/`) && !isThere(pod, outer, inner))
        yield say(`${inner.mountPath} cannot be made in ${outer.mountPath}, which is read-only`)
    }
  const known = new Set<string>()
  for (const { name, value } of container.env ?? []) {
    if (known.has(name)) yield say(`${name} is set twice`)
    for (const [, used] of String(value ?? '').matchAll(/\$\((\w+)\)/g))
      if (!known.has(used!)) yield say(`${name} uses ${used}, which is not set before it`)
    known.add(name)
  }
  for (const [, used] of (container.args ?? []).join(' ').matchAll(/\$\((\w+)\)/g))
    if (!known.has(used)) yield say(`its command line uses ${used}`)
  const ports: Content[] = container.ports ?? []
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
    const { port, host } = container[probe]?.httpGet ?? {}
    if (port !== undefined && !ports.some(({ name }) => name === port)) yield say(`${probe}: no port ${port}`)
    if (host !== undefined && !pod.hostNetwork) yield say(`${probe}: ${host} is the node, not the pod`)
  }
  for (const { containerPort, hostPort } of ports)
    if (pod.hostNetwork && hostPort !== containerPort) yield say(`port ${containerPort} is not the node's`)
}

/** A folder of the node below another one: the kubelet makes it before it mounts either. */
function isThere({ volumes }: Content, outer: Content, inner: Content): boolean {
  const [outerPath, innerPath] = [outer, inner].map(
    (mount) => (volumes ?? []).find(({ name }: Content) => name === mount.name)?.hostPath?.path,
  )
  return outerPath !== undefined && innerPath === outerPath + inner.mountPath.slice(outer.mountPath.length)
}

/** Secrets that pods need, by name. */
export function secretsIn(objects: readonly KubernetesObject[]): string[] {
  const names = workloadsIn(objects).flatMap((workload) => {
    const pod = workload.spec.template.spec
    const ofVariables = containersOf(workload).flatMap(({ container }) => [
      ...(container.env ?? []).map(({ valueFrom }: Content) => valueFrom?.secretKeyRef?.name),
      ...(container.envFrom ?? []).map(({ secretRef }: Content) => secretRef?.name),
    ])
    const ofVolumes = (pod.volumes ?? []).map(({ secret }: Content) => secret?.secretName)
    const ofImages = (pod.imagePullSecrets ?? []).map(({ name }: Content) => name)
    return [...ofVariables, ...ofVolumes, ...ofImages]
  })
  const ofIngress = objects.flatMap(({ kind, spec }) =>
    kind === 'Ingress' ? (spec.tls ?? []).map(({ secretName }: Content) => secretName) : [],
  )
  return [...new Set([...names, ...ofIngress])].filter((name) => name !== undefined).toSorted()
}

function claimsOf(workload: KubernetesObject): Content[] {
  return (workload.spec.volumeClaimTemplates ?? []).map(({ metadata }: Content) => metadata)
}

function podLabelsOf(workload: KubernetesObject): Labels {
  return workload.spec.template.metadata?.labels ?? {}
}

function matches(selector: Labels | undefined, labels: Labels): boolean {
  return (
    selector !== undefined && Object.entries(selector).every(([key, value]) => labels[key] === String(value))
  )
}

function portNames(workload: KubernetesObject | undefined): string[] {
  if (workload === undefined) return []
  return containersOf(workload).flatMap(({ container }) =>
    (container.ports ?? []).map(({ name }: Content) => name),
  )
}
