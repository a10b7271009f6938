/**
 * Goal: whatever values the chart takes, what comes out is right: Kubernetes knows every field, every name leads somewhere, pods
 * may do no more than they need, and Shoal understands its command lines and settings. Wrong values are refused by name.
 * Method: the chart is rendered with many values, the objects are held against Kubernetes' schemas, against each other and
 * against Shoal's own parser and loader. Where Helm is on PATH, the same values go through it, and both must agree.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { addressClass } from '@shoal/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { programPaths } from '../support/components.ts'
import { describeWith } from '../support/describe-with.ts'
import {
  CHART_FOLDER,
  ChartRefusedError,
  type ChartRenderer,
  helmRenderer,
  NAMESPACE,
  startChartRenderer,
  type Values,
} from '../support/helm/chart-renderer.ts'
import { understoodCommand } from '../support/helm/command-lines.ts'
import { loadedSettings } from '../support/helm/loaded-settings.ts'
import { ownSettings, valuesSchemaInStep } from '../support/helm/settings-schema.ts'
import {
  type Content,
  containersOf,
  find,
  type KubernetesObject,
  objectsIn,
  workloadsIn,
} from '../support/kubernetes/objects.ts'
import { referenceProblems, secretsIn } from '../support/kubernetes/references.ts'
import { securityProblems } from '../support/kubernetes/security.ts'
import { schemaProblems } from '../support/kubernetes/strict-schema.ts'
import { runProcess } from '../support/process.ts'
import { BAD_VALUES, GOOD_VALUES, IMAGE } from './chart-values.ts'

test('the values’ schema is in step with Shoal’s settings', async () => {
  const path = join(CHART_FOLDER, 'values.schema.json')
  await expect(valuesSchemaInStep(await readFile(path, 'utf8'))).toMatchFileSnapshot(path)
})

async function objectsOf(renderer: ChartRenderer, values: Values): Promise<KubernetesObject[]> {
  const { files } = await renderer.render(values)
  return [...files].flatMap(([path, text]) => (path.endsWith('.yaml') ? objectsIn(text) : []))
}

describeWith(['chart-templates'], 'the chart', () => {
  let renderer: ChartRenderer
  beforeAll(async () => {
    renderer = await startChartRenderer()
  })
  afterAll(() => renderer?.[Symbol.asyncDispose]())
  const objectsWith = (values: Values = {}) => objectsOf(renderer, { ...IMAGE, ...values })

  describe.each(GOOD_VALUES)('$title', ({ values, secrets = [] }) => {
    let objects: KubernetesObject[]
    beforeAll(async () => {
      objects = await objectsOf(renderer, values)
    })

    test('is what Kubernetes knows, to the last field', () => {
      expect(objects.flatMap(schemaProblems)).toEqual([])
    })

    test('hangs together', () => {
      expect(referenceProblems(objects, NAMESPACE)).toEqual([])
      expect(secretsIn(objects)).toEqual(secrets)
    })

    test('may do no more than it needs', () => {
      expect(securityProblems(objects)).toEqual([])
    })

    test('has settings and command lines that Shoal understands', () => {
      loadedSettings(objects, 'seeder')
      loadedSettings(objects, 'agent')
      for (const workload of workloadsIn(objects))
        for (const { container, where } of containersOf(workload)) {
          expect(container.command, where).toBeUndefined()
          expect(() => understoodCommand(container.args), where).not.toThrow()
        }
    })
  })

  test.each(BAD_VALUES)('%s is refused by name', async (_title, values, said) => {
    const refused = renderer.render(values)
    await expect(refused).rejects.toThrow(ChartRefusedError)
    await expect(refused).rejects.toThrow(said)
  })

  test('a setting that the chart makes is one that there is, made of values that there are', async () => {
    const { files } = await renderer.render(IMAGE)
    expect([...files.keys()]).toContain('templates/seeder-statefulset.yaml')
    const values = await readFile(join(CHART_FOLDER, 'values.yaml'), 'utf8')
    const objects = await objectsWith()
    for (const [service, settings] of Object.entries(ownSettings())) {
      const loaded = loadedSettings(objects, service as 'seeder' | 'agent')
      for (const [key, instead] of Object.entries(settings)) {
        expect(loaded, `${service}.settings.${key}`).toHaveProperty(key)
        for (const [name] of instead.matchAll(/\b\w+\.[\w.]+/g))
          expect(values, name).toMatch(new RegExp(`^ +${name.split('.').at(-1)}:`, 'm'))
      }
    }
  })

  describe('the seeder', () => {
    test('keeps images and its copy in one volume, with a folder as the origin', async () => {
      const objects = await objectsWith()
      const { spec } = find(objects, 'StatefulSet', 'shoal-seeder')!
      expect(spec.volumeClaimTemplates).toMatchObject([{ metadata: { name: 'images' } }])
      const mounts = spec.template.spec.containers[0].volumeMounts
      expect(mounts).toContainEqual({ name: 'images', mountPath: '/var/lib/shoal' })
      const { origin, data } = loadedSettings(objects, 'seeder')
      expect([origin, data]).toEqual(['/var/lib/shoal/origin', '/var/lib/shoal/seeder'])
    })

    test('reads its bucket’s URL as it was meant', async () => {
      const values = GOOD_VALUES.find(({ title }) => title.startsWith('three seeders'))!.values
      const objects = await objectsWith(values)
      expect(loadedSettings(objects, 'seeder').origin).toBe(
        's3://images/shoal/a?endpoint=http%3A%2F%2Fminio.storage%3A9000&region=us-east-1&forcePathStyle=true',
      )
      const { spec } = find(objects, 'StatefulSet', 'shoal-seeder')!
      expect(spec.template.spec.containers[0].env).toContainEqual({
        name: 'AWS_ACCESS_KEY_ID',
        valueFrom: { secretKeyRef: { name: 's3-login', key: 'key' } },
      })
    })

    test('has a disruption budget and a Service that remembers clients with several replicas only', async () => {
      const s3 = { origin: { type: 's3', s3: { bucket: 'images' } } }
      for (const [replicas, expected] of [
        [1, undefined],
        [3, 'ClientIP'],
      ] as const) {
        const objects = await objectsWith({ seeder: { replicas, ...s3 } })
        expect(find(objects, 'Service', 'shoal-seeder')!.spec.sessionAffinity).toBe(expected)
        expect(objects.some(({ kind }) => kind === 'PodDisruptionBudget')).toBe(replicas > 1)
      }
    })

    test('is told the files of its secrets', async () => {
      const { values } = GOOD_VALUES.find(({ title }) => title.startsWith('secrets'))!
      const objects = await objectsWith(values)
      expect(loadedSettings(objects, 'seeder')).toMatchObject({
        apiTokenFile: '/run/shoal/api-token/token',
        eventSecretsFile: '/run/shoal/event-secrets/webhooks.txt',
        dockerConfig: '/run/shoal/docker-config/config.json',
        pullSecrets:
          '/run/shoal/pull-secrets/quay/.dockerconfigjson,/run/shoal/pull-secrets/ghcr.login/.dockerconfigjson',
        gcIntervalMs: 21_600_000,
        uploadBytesPerSecond: 1_250_000_000,
        bufferBytes: 64 * 1024 ** 2,
        allowDelete: false,
      })
      const { spec } = find(objects, 'StatefulSet', 'shoal-seeder')!
      const { volumes, containers } = spec.template.spec
      // Each of these files is an item of a volume that is mounted there.
      for (const [, folder, file] of JSON.stringify(loadedSettings(objects, 'seeder')).matchAll(
        /(\/run\/shoal\/[a-z-]+(?:\/[a-z.]+(?=\/))?)\/([\w.]+)/g,
      )) {
        const mount = containers[0].volumeMounts.find(({ mountPath }: Content) => mountPath === folder)
        const volume = volumes.find(({ name }: Content) => name === mount?.name)
        expect(volume?.secret.items, `${folder}/${file}`).toEqual([{ key: file, path: file }])
      }
    })

    test('knows its own names, the ingress’ among them, and restarts when its settings change', async () => {
      const ingress = { enabled: true, host: 'registry.example.com' }
      const objects = await objectsWith({ seeder: { ingress, hosts: ['old.example.com'] } })
      expect(String(loadedSettings(objects, 'seeder').hosts).split(',')).toEqual([
        'shoal-seeder:7000',
        'shoal-seeder.shoal:7000',
        'shoal-seeder.shoal.svc:7000',
        'shoal-seeder.shoal.svc.cluster.local:7000',
        'registry.example.com',
        'old.example.com',
      ])
      const checksum = (of: KubernetesObject[]) =>
        find(of, 'StatefulSet', 'shoal-seeder')!.spec.template.metadata.annotations['checksum/config']
      expect(checksum(objects)).not.toBe(checksum(await objectsWith()))
    })
  })

  describe('the agent', () => {
    test('in the node’s network serves 127.0.0.1 of the node, and its address for peers', async () => {
      const objects = await objectsWith()
      expect(loadedSettings(objects, 'agent')).toMatchObject({
        listen: '127.0.0.1:5001',
        peerListen: '[10.0.0.7]:6001',
        seeder: 'http://shoal-seeder.shoal.svc:7000',
        name: 'node-7',
        zone: '',
        zoneFile: '/run/shoal/zone/zone',
      })
      const pod = find(objects, 'DaemonSet', 'shoal-agent')!.spec.template.spec
      expect(pod).toMatchObject({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' })
      expect(pod.containers[0].readinessProbe.httpGet.host).toBe('127.0.0.1')
    })

    test('in the pod network is reached at 127.0.0.1 of the node by its port alone', async () => {
      const objects = await objectsWith({ agent: { network: 'hostPort' } })
      expect(loadedSettings(objects, 'agent')).toMatchObject({
        listen: '0.0.0.0:5001',
        peerListen: '[10.1.2.3]:6001',
      })
      const pod = find(objects, 'DaemonSet', 'shoal-agent')!.spec.template.spec
      expect(pod.hostNetwork).toBeUndefined()
      expect(pod.containers[0].ports).toEqual([
        { name: 'http', containerPort: 5001, hostPort: 5001, hostIP: '127.0.0.1' },
        { name: 'peers', containerPort: 6001 },
      ])
    })

    test.each([
      [{}, true, { zone: '', zoneFile: '/run/shoal/zone/zone' }],
      [{ nodeLabel: 'rack' }, true, { zone: '', zoneFile: '/run/shoal/zone/zone' }],
      [{ nodeLabel: '' }, false, { zone: '', zoneFile: '' }],
      [{ value: 'hall 7' }, false, { zone: 'hall 7', zoneFile: '' }],
    ])('with the zone %j asks for nodes: %s', async (zone, asks, settings) => {
      const objects = await objectsWith({ agent: { zone } })
      expect(loadedSettings(objects, 'agent')).toMatchObject(settings)
      expect(objects.some(({ kind }) => kind === 'ClusterRole')).toBe(asks)
      const init = find(objects, 'DaemonSet', 'shoal-agent')!.spec.template.spec.initContainers
      const asking = init.find(({ name }: Content) => name === 'node-zone')
      expect(asking?.args.join(' ')).toBe(
        asks
          ? `kubernetes node-zone --node $(NODE_NAME) --label ${(zone as Values).nodeLabel ?? 'topology.kubernetes.io/zone'} --output /run/shoal/zone/zone`
          : undefined,
      )
    })

    test.each([
      ['containerd', '/etc/containerd'],
      ['crio', '/etc/containers'],
      ['podman', '/etc/containers'],
      ['docker', '/etc/docker'],
    ])('writes for %s into %s, and a hook takes it back', async (runtime, folder) => {
      const objects = await objectsWith({ clientConfig: { runtime } })
      for (const [name, container] of [
        ['shoal-agent', 'install-client'],
        ['shoal-cleanup', 'uninstall-client'],
      ] as const) {
        const { initContainers, volumes } = find(objects, 'DaemonSet', name)!.spec.template.spec
        const { volumeMounts, args } = initContainers.find((one: Content) => one.name === container)
        expect(volumeMounts).toEqual([
          { name: 'node-etc', mountPath: '/host/etc', readOnly: true },
          { name: 'client-config', mountPath: `/host${folder}` },
          { name: 'client-state', mountPath: '/host/var/lib/shoal' },
        ])
        expect(volumes).toContainEqual({
          name: 'client-config',
          hostPath: { path: folder, type: 'DirectoryOrCreate' },
        })
        expect(args.join(' ')).toContain('--root /host')
      }
    })

    test.each([
      [{}, 'shoal-seeder.shoal.svc:7000=http://shoal-seeder.shoal.svc:7000'],
      [
        {
          seeder: {
            settings: { upstreams: 'docker.io,quay.io' },
            ingress: { enabled: true, host: 'r.example' },
          },
        },
        'shoal-seeder.shoal.svc:7000=http://shoal-seeder.shoal.svc:7000,r.example=http://r.example,docker.io,quay.io',
      ],
      [
        { seeder: { ingress: { enabled: true, host: 'r.example', tls: { secretName: 't' } } } },
        /,r\.example$/,
      ],
      [{ clientConfig: { registries: ['*'] } }, '*'],
      [{ clientConfig: { registries: ['docker.io', 'a:5000=http://b'] } }, 'docker.io,a:5000=http://b'],
    ])('%# mirrors what the seeder may have, or what was said', async (values, expected) => {
      const objects = await objectsWith(values)
      const init = find(objects, 'DaemonSet', 'shoal-agent')!.spec.template.spec.initContainers
      const { args } = init.find(({ name }: Content) => name === 'install-client')
      const registries = args[args.indexOf('--registries') + 1]
      if (typeof expected === 'string') expect(registries).toBe(expected)
      else expect(registries).toMatch(expected)
    })
  })

  describe('an uninstall', () => {
    const isHook = ({ metadata }: KubernetesObject) => metadata.annotations?.['helm.sh/hook'] !== undefined

    test('runs its pods after the agents are gone, waits for them, and leaves nothing', async () => {
      const hooks = (await objectsWith()).filter(isHook)
      const weights = hooks.map(({ kind, metadata }) => {
        expect(metadata.annotations).toMatchObject({
          'helm.sh/hook': 'post-delete',
          'helm.sh/hook-delete-policy': 'before-hook-creation,hook-succeeded',
        })
        return [kind, Number(metadata.annotations!['helm.sh/hook-weight'])] as const
      })
      expect(Object.fromEntries(weights)).toEqual({
        ServiceAccount: -5,
        Role: -5,
        RoleBinding: -5,
        ResourceQuota: -5,
        DaemonSet: 0,
        Job: 5,
      })
    })

    test('reaches every node that agents may run on', async () => {
      const agent = { nodeSelector: { pool: 'a' }, tolerations: [{ key: 'x', operator: 'Exists' }] }
      const objects = await objectsWith({ agent })
      const [there, back] = ['shoal-agent', 'shoal-cleanup'].map((name) => {
        const { nodeSelector, tolerations, affinity } = find(objects, 'DaemonSet', name)!.spec.template.spec
        return { nodeSelector, tolerations, affinity }
      })
      expect(back).toEqual(there)
    })

    test('needs nothing where nothing was written', async () => {
      expect((await objectsWith({ clientConfig: { runtime: 'none' } })).filter(isHook)).toEqual([])
    })
  })

  describe('network policies', () => {
    test('let agents to the seeder’s two ports, and nobody else but who is named', async () => {
      const clients = [{ podSelector: {}, namespaceSelector: { matchLabels: { team: 'ci' } } }]
      const objects = await objectsWith({
        agent: { network: 'hostPort' },
        networkPolicy: { nodeCidrs: ['10.0.0.0/16'], clients },
      })
      const ingressOf = (name: string) => find(objects, 'NetworkPolicy', name)!.spec.ingress
      expect(ingressOf('shoal-seeder')).toMatchObject([
        {
          ports: [{ port: 'http' }, { port: 'peers' }],
          from: [{ podSelector: {} }, { ipBlock: { cidr: '10.0.0.0/16' } }],
        },
        { ports: [{ port: 'http' }], from: clients },
      ])
      expect(ingressOf('shoal-agent')).toMatchObject([{ ports: [{ port: 'peers' }] }])
    })

    test('are there without being asked for, and let nobody in from public networks', async () => {
      const [agents, ...others] = find(await objectsWith(), 'NetworkPolicy', 'shoal-seeder')!.spec.ingress
      expect(others).toEqual([])
      const networks = agents.from.map(({ ipBlock }: { ipBlock: { cidr: string } }) => ipBlock.cidr)
      for (const network of networks) expect(addressClass(network.split('/')[0])).toBe('private')
      expect(networks.length).toBeGreaterThan(0)
      const without = await objectsWith({ networkPolicy: { enabled: false } })
      expect(find(without, 'NetworkPolicy', 'shoal-seeder')).toBeUndefined()
    })

    test('name the nodes where agents are in their network', async () => {
      const objects = await objectsWith({ networkPolicy: { nodeCidrs: ['10.0.0.0/16'] } })
      expect(find(objects, 'NetworkPolicy', 'shoal-seeder')!.spec.ingress[0].from).toEqual([
        { ipBlock: { cidr: '10.0.0.0/16' } },
      ])
      expect(find(objects, 'NetworkPolicy', 'shoal-agent')).toBeUndefined()
    })
  })
})

describeWith(['chart-templates', 'helm'], 'Helm itself', () => {
  const helm = programPaths('helm')[0] ?? 'helm'
  const theirs = helmRenderer(helm)
  let ours: ChartRenderer
  beforeAll(async () => {
    ours = await startChartRenderer()
  })
  afterAll(() => ours?.[Symbol.asyncDispose]())

  test('makes the same of good values', async () => {
    const sorted = (objects: KubernetesObject[]) =>
      objects.toSorted((a, b) => `${a.kind} ${a.metadata.name}`.localeCompare(`${b.kind} ${b.metadata.name}`))
    for (const { title, values } of GOOD_VALUES)
      expect(sorted(await objectsOf(theirs, values)), title).toEqual(sorted(await objectsOf(ours, values)))
  })

  test('refuses bad ones as well, by name', async () => {
    for (const [title, values, said] of BAD_VALUES) {
      // Its words for the schema are its own, but for the name: /a/b or a.b.
      const name = new RegExp(said.source.replaceAll(/(?<=\w)\\?\.(?=\w)/g, '[./]'), said.flags)
      await expect(theirs.render(values), title).rejects.toThrow(name)
    }
  })

  test('finds nothing to complain of', async () => {
    const image = ['--set', 'image.repository=registry.example.com/shoal']
    const { stdout } = await runProcess(helm, ['lint', CHART_FOLDER, '--strict', ...image])
    expect(stdout).toContain('0 chart(s) failed')
  })
})
