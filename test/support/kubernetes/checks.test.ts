/**
 * Goal: the checks of manifests see what is wrong. Method: small sound objects, spoilt in one place each.
 */
import { describe, expect, test } from 'vitest'
import { type Content, objectsIn } from './objects.ts'
import { referenceProblems, secretsIn } from './references.ts'
import { securityProblems } from './security.ts'
import { schemaProblems } from './strict-schema.ts'

const SOUND = `
apiVersion: v1
kind: ServiceAccount
metadata: { name: a, namespace: shoal }
automountServiceAccountToken: false
---
apiVersion: v1
kind: ConfigMap
metadata: { name: c, namespace: shoal }
data: { a.yaml: '' }
---
apiVersion: v1
kind: Service
metadata: { name: pods, namespace: shoal }
spec: { clusterIP: None, selector: { app: a }, ports: [{ name: http, port: 80, targetPort: http }] }
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: s, namespace: shoal }
spec:
  serviceName: pods
  selector: { matchLabels: { app: a } }
  template:
    metadata: { labels: { app: a } }
    spec:
      serviceAccountName: a
      automountServiceAccountToken: false
      securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: RuntimeDefault } }
      containers:
        - name: main
          image: a
          env: [{ name: IP, value: '1' }, { name: USE, value: '$(IP):1' }]
          ports: [{ name: http, containerPort: 80 }]
          readinessProbe: { httpGet: { path: /, port: http } }
          resources: { limits: { memory: 1Gi } }
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
          volumeMounts: [{ name: config, mountPath: /etc/a, readOnly: true }, { name: data, mountPath: /data }]
      volumes: [{ name: config, configMap: { name: c } }]
  volumeClaimTemplates:
    - apiVersion: v1
      kind: PersistentVolumeClaim
      metadata: { name: data }
      spec: { accessModes: [ReadWriteOnce], resources: { requests: { storage: 1Gi } } }
`

interface Parts {
  account: Content
  config: Content
  service: Content
  set: Content
  pod: Content
  main: Content
}

function problemsOf(spoil: (parts: Parts) => void): string[] {
  const objects = objectsIn(SOUND)
  const [account, config, service, set] = objects as [Content, Content, Content, Content]
  const pod = set.spec.template.spec
  spoil({ account, config, service, set, pod, main: pod.containers[0] })
  return [
    ...objects.flatMap(schemaProblems),
    ...referenceProblems(objects, 'shoal'),
    ...securityProblems(objects),
  ]
}

test('sound objects have no problems', () => {
  expect(problemsOf(() => {})).toEqual([])
})

describe('what Kubernetes does not know, or takes otherwise', () => {
  test.each<[string, (parts: Parts) => void, string]>([
    [
      'a field',
      ({ main }) => (main.imagePullPolice = 'Always'),
      'containers/0/imagePullPolice: is not known',
    ],
    ['a field at the top', ({ set }) => (set.metdata = {}), '/metdata: is not known'],
    ['a field of metadata', ({ set }) => (set.metadata.label = {}), '/metadata/label: is not known'],
    ['a field of a probe', ({ main }) => (main.readinessProbe.httpGet.hots = ''), 'hots: is not known'],
    [
      'a field of a claim',
      ({ set }) => (set.spec.volumeClaimTemplates[0].spec.size = '1Gi'),
      'size: is not known',
    ],
    ['a field that is not there yet', ({ pod }) => (pod.agents = []), '/agents: is not known'],
    ['null', ({ pod }) => (pod.nodeSelector = null), 'nodeSelector: is null'],
    ['a text for a number', ({ set }) => (set.spec.replicas = '3'), 'replicas: type'],
    ['a number for a text', ({ main }) => (main.env[0].value = 1), 'env/0/value: type'],
    ['a quantity that is none', ({ main }) => (main.resources.limits.memory = '1 apple'), 'memory: format'],
    ['a word that is no choice', ({ pod }) => (pod.containers[0].imagePullPolicy = 'Now'), 'enum'],
    ['something that is missing', ({ main }) => delete main.name, 'required'],
    ['a list that is none', ({ pod }) => (pod.containers = {}), 'containers: type'],
    [
      'another version',
      ({ set }) => (set.apiVersion = 'apps/v1beta1'),
      'apps/v1beta1 StatefulSet is not known',
    ],
  ])('%s is seen', (_what, spoil, said) => {
    let problems: string[] = []
    try {
      problems = problemsOf(spoil)
    } catch (error) {
      // What is spoilt beyond the shape of objects: the schema's word comes first elsewhere.
      expect(error).toBeInstanceOf(TypeError)
      const objects = objectsIn(SOUND)
      const set = objects[3] as Content
      const pod = set.spec.template.spec
      spoil({ set, pod, main: pod.containers[0] } as Parts)
      problems = schemaProblems(set)
    }
    expect(problems.join('\n')).toContain(said)
  })

  test('a key that is there twice cannot be read', () => {
    expect(() =>
      objectsIn(SOUND.replace('serviceName: pods', 'serviceName: pods\n  serviceName: x')),
    ).toThrow(/unique/)
    expect(() => objectsIn('a: 1')).toThrow('no object of Kubernetes')
  })
})

describe('what hangs in the air', () => {
  test.each<[string, (parts: Parts) => void, string]>([
    [
      'a selector',
      ({ set }) => (set.spec.selector.matchLabels = { app: 'b' }),
      'does not select its own pods',
    ],
    ['a Service', ({ service }) => (service.spec.selector = { app: 'b' }), 'Service pods: does not select'],
    ['a port', ({ service }) => (service.spec.ports[0].targetPort = 'https'), 'no port is called https'],
    ['a probe', ({ main }) => (main.readinessProbe.httpGet.port = 'web'), 'readinessProbe: no port web'],
    ['a probe of the node', ({ main }) => (main.readinessProbe.httpGet.host = '127.0.0.1'), 'is the node'],
    ['a mount', ({ main }) => (main.volumeMounts[0].name = 'x'), 'no volume x'],
    ['a volume', ({ pod }) => pod.volumes.push({ name: 'x', emptyDir: {} }), 'volume x is mounted nowhere'],
    [
      'a volume twice',
      ({ pod }) => pod.volumes.push({ name: 'data', emptyDir: {} }),
      'a volume is there twice',
    ],
    ['a config map', ({ config }) => (config.metadata.name = 'd'), 'no ConfigMap c'],
    ['an account', ({ account }) => (account.metadata.name = 'b'), 'no ServiceAccount a'],
    ['a headless Service', ({ service }) => delete service.spec.clusterIP, 'pods is no headless Service'],
    ['a variable', ({ main }) => main.env.reverse(), 'USE uses IP, which is not set before it'],
    ['a mount in a read-only one', ({ main }) => (main.volumeMounts[1].mountPath = '/etc/a/b'), 'read-only'],
    ['two mounts', ({ main }) => (main.volumeMounts[1].mountPath = '/etc/a'), 'mounted twice'],
    ['a namespace', ({ set }) => (set.metadata.namespace = 'other'), 'is in other'],
    ['a name', ({ set }) => (set.metadata.name = 'S'), 'its name is none'],
    ['a port of the node', ({ pod }) => (pod.hostNetwork = true), "is not the node's"],
  ])('%s is seen', (_what, spoil, said) => {
    expect(problemsOf(spoil).join('\n')).toContain(said)
  })

  test('secrets are found wherever they are meant', () => {
    const [, , , set] = objectsIn(SOUND) as [Content, Content, Content, Content]
    const pod = set.spec.template.spec
    pod.imagePullSecrets = [{ name: 'i' }]
    pod.volumes.push({ name: 'v', secret: { secretName: 'v' } })
    pod.containers[0].env.push({ name: 'E', valueFrom: { secretKeyRef: { name: 'e', key: 'k' } } })
    expect(secretsIn([set])).toEqual(['e', 'i', 'v'])
  })
})

describe('what may do too much', () => {
  test.each<[string, (parts: Parts) => void, string]>([
    ['root', ({ pod }) => (pod.securityContext.runAsNonRoot = false), 'it may be root'],
    ['root in a container', ({ main }) => (main.securityContext.runAsUser = 0), 'it may be root'],
    ['a privileged one', ({ main }) => (main.securityContext.privileged = true), 'it is privileged'],
    [
      'one that may become root',
      ({ main }) => delete main.securityContext.allowPrivilegeEscalation,
      'may become',
    ],
    [
      'one that writes its image',
      ({ main }) => (main.securityContext.readOnlyRootFilesystem = false),
      'written',
    ],
    ['one with capabilities', ({ main }) => delete main.securityContext.capabilities, 'keeps capabilities'],
    ['one with more', ({ main }) => (main.securityContext.capabilities.add = ['SYS_ADMIN']), 'SYS_ADMIN'],
    ['one without seccomp', ({ pod }) => delete pod.securityContext.seccompProfile, 'seccomp'],
    ['one without a limit', ({ main }) => delete main.resources, 'memory has no limit'],
    [
      'one that sees the node',
      ({ pod }) => (pod.volumes[0] = { name: 'config', hostPath: { path: '/etc' } }),
      'sees /etc',
    ],
    [
      'one that may write what it is only to read',
      ({ pod, main }) => {
        pod.volumes[0] = { name: 'client-config', hostPath: { path: '/etc/containerd' } }
        main.volumeMounts[0] = { name: 'client-config', mountPath: '/host/etc/containerd' }
      },
      'sees /etc/containerd',
    ],
    [
      'one that sees a token',
      ({ pod }) => (pod.volumes[0] = { name: 'config', projected: { sources: [] } }),
      'token',
    ],
    ['a token everywhere', ({ pod }) => delete pod.automountServiceAccountToken, 'mounted everywhere'],
    [
      'an account’s token everywhere',
      ({ account }) => delete account.automountServiceAccountToken,
      'everywhere',
    ],
  ])('%s is seen', (_what, spoil, said) => {
    expect(problemsOf(spoil).join('\n')).toContain(said)
  })

  test('a right beyond the one that is needed is seen', () => {
    const role = (rules: Content) => [
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'r' }, rules },
    ]
    const needed = { resources: ['nodes'], verbs: ['get'] }
    expect(securityProblems(role([needed]))).toEqual([])
    expect(securityProblems(role([{ ...needed, verbs: ['get', 'patch'] }]))).toHaveLength(1)
    expect(securityProblems(role([needed, { resources: ['secrets'], verbs: ['get'] }]))).toHaveLength(1)
  })
})
