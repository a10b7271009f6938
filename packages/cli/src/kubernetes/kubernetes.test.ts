/**
 * Goal: what pods ask the API server is asked rightly, an answer is believed only when it is one, and every refusal says which
 * role or which mount is missing.
 * Method: an API server on a real socket with TLS that answers as told: rightly, with refusals, rubbish, slowly or not at all.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selfSignedCertificate } from '@shoal/testing/self-signed-certificate'
import { type StubHandler, type StubServer, startStub } from '@shoal/testing/stub-server'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ApiServer, type ApiServerInit } from './api-server.ts'
import {
  ApiServerAnswerError,
  ApiServerRefusedError,
  ApiServerUnreachableError,
  DaemonSetNotReadyError,
  NotInClusterError,
} from './errors.ts'
import { inCluster } from './in-cluster.ts'
import { writeNodeZone } from './node-zone.ts'
import { waitForDaemonSet } from './wait-for-daemonset.ts'

const tls = selfSignedCertificate()
const TOKEN = 'very.secret.token'
const LABEL = 'topology.kubernetes.io/zone'
const QUICK: ApiServerInit = { tries: 3, firstPauseMs: 1, silentMsMax: 400 }
const { signal } = new AbortController()

let folder: string
let answer: StubHandler
let stub: StubServer
let api: ApiServer

beforeEach(async () => {
  folder = join(tmpdir(), `shoal-api-${process.pid}-${Math.random().toString(36).slice(2)}`)
  await mkdir(folder)
  await writeFile(join(folder, 'token'), `${TOKEN}\n`)
  await writeFile(join(folder, 'ca.crt'), tls.cert)
  await writeFile(join(folder, 'namespace'), 'shoal')
  answer = (_request, response) => void response.writeHead(404).end()
  stub = await startStub((request, response) => answer(request, response), { tls })
  api = new ApiServer({ cluster: await inCluster(environment(), folder) }, QUICK)
})
afterEach(async () => {
  await api.stop()
  await stub[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

function environment(): NodeJS.ProcessEnv {
  const { hostname, port } = new URL(stub.url)
  return { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }
}

const json =
  (value: unknown, status = 200): StubHandler =>
  (_request, response) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
const refusal = (status: number, message: string) => json({ kind: 'Status', message }, status)
const node = (labels: Record<string, unknown> | undefined) => json({ kind: 'Node', metadata: { labels } })
const zoneOf = async (name = 'node-1') => {
  const output = join(folder, 'zone')
  await writeNodeZone(api, { node: name, label: LABEL, output }, signal)
  return await readFile(output, 'utf8')
}

describe('the zone of a node', () => {
  test('is its label, asked for with the token of the pod', async () => {
    answer = node({ [LABEL]: 'eu-west-1a', other: 'x' })
    expect(await zoneOf('node-1.example')).toBe('eu-west-1a\n')
    expect(stub.seen).toMatchObject([
      { method: 'GET', path: '/api/v1/nodes/node-1.example', headers: { authorization: `Bearer ${TOKEN}` } },
    ])
  })

  test('is empty where the node has no such label', async () => {
    answer = node(undefined)
    expect(await zoneOf()).toBe('\n')
    answer = node({})
    expect(await zoneOf()).toBe('\n')
  })

  test('is asked for again while the API server restarts', async () => {
    const answers = [
      refusal(503, 'starting'),
      refusal(429, 'slowly'),
      node({ [LABEL]: 'b' }),
    ] satisfies StubHandler[]
    answer = (request, response) => answers.shift()!(request, response)
    expect(await zoneOf()).toBe('b\n')
    expect(stub.seen).toHaveLength(3)
  })

  test.each([
    [401, 'Unauthorized', /answered with 401: Unauthorized; the token .* is not accepted/],
    [403, 'nodes "node-1" is forbidden', /forbidden; allow the service account of this pod "get" on "nodes"/],
    [404, 'nodes "node-1" not found', /not found; check the name/],
    [400, '', /answered with 400: nothing; look at the log/],
  ])('is not asked for again after a %i', async (status, message, said) => {
    answer = refusal(status, message)
    await expect(zoneOf()).rejects.toThrow(said)
    await expect(zoneOf()).rejects.toThrow(ApiServerRefusedError)
    expect(stub.seen).toHaveLength(2)
  })

  test('never repeats the token, whatever the answer does', async () => {
    answer = (request, response) => refusal(403, `bad ${request.headers.authorization}`)(request, response)
    await expect(zoneOf()).rejects.toThrow('bad Bearer …')
  })

  test.each<[string, StubHandler]>([
    ['a page', (_request, response) => void response.writeHead(200).end('<html>login</html>')],
    ['no object', json('zone')],
    ['another object', json({ kind: 'Pod', metadata: { labels: { [LABEL]: 'a' } } })],
    ['a label that is none', node({ [LABEL]: 'a\nb' })],
    ['a label that is no text', node({ [LABEL]: 7 })],
    [
      'an endless answer',
      (_request, response) => {
        response.writeHead(200)
        const more = () => {
          while (!response.destroyed && response.write('x'.repeat(2 ** 20)));
        }
        response.on('drain', more)
        more()
      },
    ],
  ])('is not taken from %s', async (_what, handler) => {
    answer = handler
    await expect(zoneOf()).rejects.toThrow(ApiServerAnswerError)
    expect(stub.seen).toHaveLength(1)
  })

  test('is given up when nobody answers, or the server is another', async () => {
    answer = () => {}
    await expect(zoneOf()).rejects.toThrow(ApiServerUnreachableError)
    expect(stub.seen).toHaveLength(3)
    await writeFile(join(folder, 'ca.crt'), selfSignedCertificate().cert)
    const stranger = new ApiServer({ cluster: await inCluster(environment(), folder) }, QUICK)
    const output = join(folder, 'zone')
    const asked = writeNodeZone(stranger, { node: 'a', label: LABEL, output }, signal)
    await expect(asked).rejects.toThrow(/asked 3 times: .*self-signed certificate/i)
    await stranger.stop()
  })

  test('needs a place to write to', async () => {
    answer = node({})
    const output = join(folder, 'absent', 'zone')
    const asked = writeNodeZone(api, { node: 'a', label: LABEL, output }, signal)
    await expect(asked).rejects.toThrow(/cannot be written .* mount a folder/)
  })

  test('goes by the token that the kubelet wrote last', async () => {
    answer = node({})
    await zoneOf()
    await writeFile(join(folder, 'token'), 'another.token')
    await zoneOf()
    expect(stub.seen.map(({ headers }) => headers.authorization)).toEqual([
      `Bearer ${TOKEN}`,
      'Bearer another.token',
    ])
  })
})

describe('outside a cluster', () => {
  test.each<[string, (folder: string) => Promise<unknown>, string]>([
    ['no variables', async () => {}, 'KUBERNETES_SERVICE_HOST'],
    ['no token', (at) => rm(join(at, 'token')), 'token cannot be read'],
    ['a token that is none', (at) => writeFile(join(at, 'token'), 'a b\nc'), 'holds no token'],
    ['an empty authority', (at) => writeFile(join(at, 'ca.crt'), ''), 'ca.crt is empty'],
  ])('%s is told', async (what, spoil, reason) => {
    await spoil(folder)
    const asked = inCluster(what === 'no variables' ? {} : environment(), folder)
    await expect(asked).rejects.toThrow(NotInClusterError)
    await expect(asked).rejects.toThrow(reason)
  })

  test('an IPv6 address of the API server is a URL as well', async () => {
    const { url } = await inCluster(
      { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' },
      folder,
    )
    expect(url).toBe('https://[fd00::1]:443')
  })
})

describe('waiting for a DaemonSet', () => {
  const daemonSet = (ready: number, status: object = {}) =>
    json({
      kind: 'DaemonSet',
      metadata: { generation: 2 },
      spec: { selector: { matchLabels: { app: 'shoal', part: 'cleanup' } } },
      status: {
        observedGeneration: 2,
        desiredNumberScheduled: 3,
        updatedNumberScheduled: 3,
        numberReady: ready,
        ...status,
      },
    })
  const wait = (timeoutMs: number, heard: string[] = []) =>
    waitForDaemonSet(
      api,
      { name: 'cleanup', namespace: 'shoal', timeoutMs, intervalMs: 1 },
      (text) => heard.push(text),
      signal,
    )

  test('ends when every node has a ready pod', async () => {
    const answers = [
      // Its controller has not looked at it yet: it seems to want nothing.
      daemonSet(0, { observedGeneration: 1, desiredNumberScheduled: 0, updatedNumberScheduled: 0 }),
      daemonSet(1),
      daemonSet(1),
      refusal(500, 'etcd'),
      // Ready, but some of them are of the template before.
      daemonSet(3, { updatedNumberScheduled: 2 }),
      daemonSet(3),
    ]
    answer = (request, response) => answers.shift()!(request, response)
    const heard: string[] = []
    expect(await wait(60_000, heard)).toBe(3)
    expect(answers).toEqual([])
    expect(heard).toEqual([0, 1, 3].map((n) => `cleanup: ready on ${n} of ${n === 0 ? 0 : 3} nodes`))
    expect(stub.seen[0]?.path).toBe('/apis/apps/v1/namespaces/shoal/daemonsets/cleanup')
  })

  test('ends at once where no node is wanted', async () => {
    answer = daemonSet(0, { desiredNumberScheduled: 0, updatedNumberScheduled: 0 })
    expect(await wait(60_000)).toBe(0)
  })

  test('says after its time which nodes are not, and why', async () => {
    const down = {
      metadata: { name: 'cleanup-x' },
      spec: {
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchFields: [{ values: ['node-4'] }] }],
            },
          },
        },
      },
      status: { phase: 'Pending' },
    }
    const refused = {
      spec: { nodeName: 'node-2' },
      status: {
        conditions: [{ type: 'Ready', status: 'False', message: 'containers with unready status' }],
        initContainerStatuses: [
          {
            name: 'uninstall-client',
            state: { waiting: { reason: 'CrashLoopBackOff' } },
            lastState: { terminated: { exitCode: 1, message: 'hosts.toml was edited\nsince\n' } },
          },
        ],
      },
    }
    const ready = {
      spec: { nodeName: 'node-1' },
      status: { conditions: [{ type: 'Ready', status: 'True' }] },
    }
    const pulling = {
      spec: { nodeName: 'node-3' },
      status: {
        containerStatuses: [
          { name: 'idle', state: { waiting: { reason: 'ImagePullBackOff', message: 'no' } } },
        ],
      },
    }
    answer = (request, response) => {
      if (!request.path.includes('/pods?')) return daemonSet(1)(request, response)
      const isSecond = request.path.includes('continue=more')
      return json(
        isSecond ? { items: [pulling, down] } : { items: [ready, refused], metadata: { continue: 'more' } },
      )(request, response)
    }
    const error = await wait(100).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(DaemonSetNotReadyError)
    expect((error as DaemonSetNotReadyError).nodes).toEqual([
      expect.stringMatching(/^node-2: uninstall-client ended with 1: hosts.toml was edited.since$/s),
      'node-3: idle: ImagePullBackOff no',
      'node-4: phase Pending; is the node up?',
    ])
    const asked = stub.seen.filter(({ path }) => path.includes('/pods?'))
    expect(asked[0]?.path).toContain('labelSelector=app%3Dshoal%2Cpart%3Dcleanup')
  })

  test('says so when the API server was away all the time', async () => {
    answer = () => {}
    await expect(wait(100)).rejects.toThrow('after 0.1 s, the API server gave no answer')
  })

  test('says how many are not where it may not ask which', async () => {
    answer = (request, response) =>
      (request.path.includes('/pods?') ? refusal(403, 'forbidden') : daemonSet(1))(request, response)
    await expect(wait(100)).rejects.toThrow(
      /ready on 1 of 3 nodes\n {2}which ones is not known: .*"list" on "pods"/,
    )
  })

  test.each([
    [403, 'allow the service account of this pod "get" on "daemonsets"'],
    [404, 'whether it is still there'],
  ])('ends at once after a %i', async (status, advice) => {
    answer = refusal(status, '')
    await expect(wait(60_000)).rejects.toThrow(advice)
  })

  test('ends at once with an answer that is none', async () => {
    answer = daemonSet(-1)
    await expect(wait(60_000)).rejects.toThrow(ApiServerAnswerError)
  })
})
