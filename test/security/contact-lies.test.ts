/**
 * Goal: while the seeder is away, or slow, an agent believes other agents nothing that does not prove itself. No client gets a
 * wrong byte or a wrong tag, nobody is led to where a lie points, and nothing of a lie outlives the liar.
 * Method: a seeder behind a door that can be closed, an agent, and a contact that proxies the truth with one field falsified
 * at a time, every field of the schema in turn; once beside an honest agent that has everything, once alone. Each field has
 * images of its own, so that one seeder and one agent serve all of them.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { type Digest, decodeInfo, digestHex, encodeInfo, type Metainfo, pieceLengthFor } from '@shoal/core'
import { FilePieceStore } from '@shoal/storage'
import { startStub } from '@shoal/testing/stub-server'
import {
  CONTACT_ANSWER_BYTES_MAX,
  decodeContacts,
  decodeResolution,
  encodeSignedTag,
  metainfoRecordBytes,
  Resolution,
  type SignedTag,
  tagRecordBytes,
} from '@shoal/wire'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { SeederClient } from '../../packages/agent/src/seeder-client.ts'
import { type Door, openDoor } from '../support/door.ts'
import { falsify, fieldsOf } from '../support/falsify.ts'
import { buildImage, type Image } from '../support/images.ts'
import { memoryBlob } from '../support/layers.ts'
import {
  type LocalSeeder,
  type LocalService,
  linesWith,
  startLocalAgent,
  startLocalSeeder,
} from '../support/local-services.ts'
import { type LyingContact, startLyingContact } from '../support/lying-contact.ts'
import { metric } from '../support/metric.ts'
import { pullImage, pushImage } from '../support/push.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const LAYER_BYTES = 200_000
/** For an answer that may never come. */
const PATIENCE_MS = 2_000
const stranger = generateKeyPairSync('ed25519').privateKey

/** An image of the cluster, its layer's bytes, and an image that the liar would like to be taken for it. */
interface Subject {
  readonly repository: string
  readonly image: Image
  readonly bytes: Buffer
  readonly evil: Image
  readonly evilBytes: Buffer
}

function subjectOf(repository: string): Subject {
  const [bytes, evilBytes] = [randomBytes(LAYER_BYTES), randomBytes(LAYER_BYTES)]
  const [image, evil] = [bytes, evilBytes].map((content) => {
    const blob = memoryBlob(content)
    return buildImage({ layers: [{ ...blob, diffId: blob.digest }] })
  })
  return { repository, image: image!, bytes, evil: evil!, evilBytes }
}

const digestOf = ({ manifest }: Image) => manifest.digest as Digest
const layerOf = (image: Image) => image.layers[0]!.digest as Digest
const manifestOf = ({ manifest }: Image) => ({ ...manifest, digest: manifest.digest as Digest })

/** Metainfo by the book for bytes that may not be the digest's. */
function metainfoOf(digest: Digest, bytes: Buffer): Metainfo {
  const pieceLength = pieceLengthFor(bytes.length)
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceLength) }, (_, index) =>
    bytes.subarray(index * pieceLength, (index + 1) * pieceLength),
  )
  const hashes = (algorithm: string) =>
    Buffer.concat(pieces.map((piece) => createHash(algorithm).update(piece).digest()))
  return {
    digest,
    length: bytes.length,
    pieceLength,
    piecesSha1: hashes('sha1'),
    piecesSha256: hashes('sha256'),
  }
}

const forgedTag = ({ repository, evil }: Subject): SignedTag => ({
  record: { repository, tag: '1', digest: digestOf(evil), issuedAtMs: Date.now() + 1e12 },
  signature: new Uint8Array(64),
})

/** Where lies lead: nobody may ever connect there. */
async function openTrap() {
  let visits = 0
  const server = createServer((socket) => {
    visits++
    socket.on('error', () => {})
    socket.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    get visits() {
      return visits
    },
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}
type Trap = Awaited<ReturnType<typeof openTrap>>

async function resolutionOf(url: string, question: Record<string, string>): Promise<Resolution> {
  const answer = await fetch(`${url}/api/v1/resolve?${new URLSearchParams(question)}`)
  if (answer.status !== 200) throw new Error(`${url} does not know ${JSON.stringify(question)}`)
  return decodeResolution(new Uint8Array(await answer.arrayBuffer()))
}

/** What the seeder says of the subject, to each question that an agent may ask. */
async function truthOf(seeder: LocalService, { repository, image }: Subject) {
  const platform = 'linux/amd64'
  const questions = [
    { repository, reference: '1', platform },
    { repository, reference: image.manifest.digest, platform },
    ...image.blobs.map(({ digest }) => ({ repository, blob: digest })),
  ]
  const answers = new Map<string, Resolution>()
  for (const question of questions) {
    const { reference, blob } = question as { reference?: string; blob?: string }
    answers.set(reference ?? blob!, await resolutionOf(seeder.url, question))
  }
  return (question: URLSearchParams): Resolution | undefined =>
    question.get('repository') === repository
      ? answers.get(question.get('reference') ?? question.get('blob') ?? '')
      : undefined
}

/** What a client of the agent has got: undefined where it got an error, or nothing in time. */
async function got(url: string, headers: Record<string, string> = {}) {
  try {
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(PATIENCE_MS) })
    const bytes = Buffer.from(await answer.arrayBuffer())
    return answer.ok ? { bytes, status: answer.status, headers: answer.headers } : undefined
  } catch {
    return undefined
  }
}

/** Asks the agent for everything of the subject, and finds nothing but the truth. @returns whether it found all of it */
async function seesOnlyTheTruth(
  agent: LocalService,
  { repository, image, bytes }: Subject,
): Promise<boolean> {
  const base = `${agent.url}/v2/${repository}`
  const layer = `${base}/blobs/${layerOf(image)}`
  const ranges = [
    [0, 9_999],
    [70_000, 140_000],
    [LAYER_BYTES - 1, LAYER_BYTES - 1],
  ] as const
  const [byTag, byDigest, config, whole, ...parts] = await Promise.all([
    got(`${base}/manifests/1`),
    got(`${base}/manifests/${image.manifest.digest}`),
    got(`${base}/blobs/${image.config.digest}`),
    got(layer),
    ...ranges.map(([start, end]) => got(layer, { range: `bytes=${start}-${end}` })),
  ])
  for (const manifest of [byTag, byDigest]) {
    if (manifest === undefined) continue
    expect(manifest.headers.get('docker-content-digest')).toBe(image.manifest.digest)
    expect(manifest.headers.get('content-type')).toBe(image.manifest.mediaType)
    expect(manifest.bytes.equals(image.manifest.bytes)).toBe(true)
  }
  if (config !== undefined)
    expect(createHash('sha256').update(config.bytes).digest('hex')).toBe(
      digestHex(image.config.digest as Digest),
    )
  if (whole !== undefined) expect(whole.bytes.equals(bytes)).toBe(true)
  for (const [n, [start, end]] of ranges.entries()) {
    if (parts[n] !== undefined) expect(parts[n]!.bytes.equals(bytes.subarray(start, end + 1))).toBe(true)
  }
  return ![byTag, byDigest, config, whole, ...parts].includes(undefined)
}

const record = (cache: string, key: string) => join(cache, 'images', key)
const cacheOf = (agent: LocalService) => join(agent.folder, 'cache')

/** Waits until the agent has been told of these contacts. */
const knows = (agent: LocalService, ports: readonly number[]) =>
  vi.waitFor(async () => {
    const kept = decodeContacts(await readFile(record(cacheOf(agent), 'cluster/contacts')))
    expect(kept.map(({ port }) => port)).toEqual(expect.arrayContaining([...ports]))
  }, 10_000)

describe('every field of an answer, falsified', () => {
  type Lie = (subject: Subject, trap: Trap) => unknown
  /** By the field's own name. Whoever adds a field says here what a liar would put there. */
  const LIES: Readonly<Record<string, Lie>> = {
    repository: () => 'team/elsewhere',
    tag: () => 'another',
    digest: ({ evil }) => digestOf(evil),
    issuedAtMs: () => Date.now() + 1e12,
    signature: () => randomBytes(64),
    warning: () => 'take another image',
    mediaType: () => 'text/html',
    bytes: ({ evil }) => evil.manifest.bytes,
    info: ({ image, evilBytes }) => encodeInfo(metainfoOf(layerOf(image), evilBytes)),
    peerId: () => 'ee'.repeat(20),
    host: () => '127.0.0.77',
    port: (_, trap) => trap.port,
    role: () => 'seeder',
    modulus: () => 64,
    remainders: () => 0,
    isPart: () => true,
    inline: ({ evilBytes }) => evilBytes.subarray(0, 1_000),
    originUrl: (_, trap) => `http://127.0.0.1:${trap.port}/latest/meta-data/iam?secret=1`,
    length: () => 17,
    first: () => 1_000_000,
    sha256: ({ image, evilBytes }) => metainfoOf(layerOf(image), evilBytes).piecesSha256,
  }
  const nameOf = (path: string) => path.split('.').at(-1)!.replaceAll('[]', '')

  /** What an answer is given on the way to a field that the truth does not have: lies as well. */
  const missing = (subject: Subject, trap: Trap): Record<string, unknown> => {
    const peer = { peerId: 'ee'.repeat(20), host: '127.0.0.1', port: trap.port, role: 'agent' }
    const imports = { modulus: 1, remainders: [] }
    const sha256 = metainfoOf(layerOf(subject.image), subject.evilBytes).piecesSha256
    return {
      tag: forgedTag(subject),
      'manifests[]': manifestOf(subject.evil),
      'blobs[].peers[]': peer,
      'blobs[].imports': imports,
      arriving: [],
      'arriving[]': { digest: layerOf(subject.image), length: LAYER_BYTES },
      'arriving[].pieces': { sha256, peers: [], imports },
      'arriving[].pieces.later': [],
      'arriving[].pieces.later[]': { first: 0, sha256 },
      'arriving[].pieces.peers[]': peer,
      'arriving[].pieces.imports': imports,
    }
  }

  /** Beyond single fields: lies that hang together, and things that nobody asked for. */
  const WHOLE: Readonly<Record<string, (truth: Resolution, subject: Subject) => Resolution>> = {
    'another image throughout, signed by a stranger': (_, { repository, evil, evilBytes }) => {
      const told = { repository, tag: '1', digest: digestOf(evil), issuedAtMs: Date.now() }
      const info = encodeInfo(metainfoOf(layerOf(evil), evilBytes))
      const infoSha256 = createHash('sha256').update(info).digest('hex')
      const signature = sign(null, metainfoRecordBytes(layerOf(evil), infoSha256), stranger)
      return {
        tag: { record: told, signature: sign(null, tagRecordBytes(told), stranger) },
        manifests: [manifestOf(evil)],
        blobs: [{ info, signature, peers: [] }],
      }
    },
    'false metainfo without a signature': (truth, { image, evilBytes }) => ({
      ...truth,
      blobs: [{ info: encodeInfo(metainfoOf(layerOf(image), evilBytes)), peers: [] }],
    }),
    'a tag, a manifest and a blob that nobody asked for': (truth, subject) => ({
      ...truth,
      tag: truth.tag ?? forgedTag(subject),
      manifests: [...truth.manifests.slice(0, 1), manifestOf(subject.evil)],
      blobs: [
        ...truth.blobs,
        { info: encodeInfo(metainfoOf(layerOf(subject.evil), subject.evilBytes)), peers: [] },
      ],
    }),
    'nothing at all': () => ({ manifests: [], blobs: [] }),
  }

  const fields = fieldsOf(Resolution)
  const cases = [...fields, ...Object.keys(WHOLE)]
  const lieTo = (name: string, truth: Resolution, subject: Subject, trap: Trap): Resolution => {
    const whole = WHOLE[name]
    if (whole !== undefined) return whole(truth, subject)
    const lie = LIES[nameOf(name)]!(subject, trap)
    return falsify(truth, name, lie, missing(subject, trap))
  }

  const stack = new AsyncDisposableStack()
  let seeder: LocalSeeder
  let door: Door
  let trap: Trap
  let liar: LyingContact
  let honest: LocalService
  let agent: LocalService
  const company = new Map(cases.map((name, n) => [name, subjectOf(`beside/case-${n}`)]))
  const alone = new Map(cases.map((name, n) => [name, subjectOf(`alone/case-${n}`)]))
  const truths = new Map<string, (question: URLSearchParams) => Resolution | undefined>()

  beforeAll(async () => {
    seeder = stack.use(await startLocalSeeder())
    door = stack.use(await openDoor(seeder.port))
    trap = stack.use(await openTrap())
    for (const subject of [...company.values(), ...alone.values()]) {
      await pushImage(seeder.url, subject.repository, '1', subject.image)
      truths.set(subject.repository, await truthOf(seeder, subject))
    }
    honest = stack.use(await startLocalAgent(door.url))
    for (const { repository } of company.values()) await pullImage(honest.url, repository, '1')
    liar = stack.use(await startLyingContact(seeder.url))
    const byRepository = new Map(
      [...company, ...alone].map(([name, subject]) => [subject.repository, { name, subject }]),
    )
    liar.answer = (question) => {
      const repository = question.get('repository') ?? ''
      const known = byRepository.get(repository)
      const truth = truths.get(repository)?.(question)
      return known && truth && lieTo(known.name, truth, known.subject, trap)
    }
    // It sends wrong pieces, too: by the false hashes and by the right ones.
    for (const { repository, image, evilBytes } of [...company.values(), ...alone.values()]) {
      const question = new URLSearchParams({ repository, blob: layerOf(image) })
      const [told] = truths.get(repository)!(question)!.blobs
      await liar.serve(metainfoOf(layerOf(image), evilBytes), evilBytes)
      await liar.serve(decodeInfo(told!.info), evilBytes)
    }
    agent = stack.use(await startLocalAgent(door.url, { tagTtlMs: 0 }))
    await knows(agent, [liar.port, Number(honest.peerAddress.split(':')[1])])
    door.close()
  }, 60_000)
  afterAll(() => stack.disposeAsync())

  it('is thought of', () => {
    expect(fields.length).toBeGreaterThan(20)
    for (const field of fields)
      expect(LIES, `what would a liar put into ${field}?`).toHaveProperty(nameOf(field))
  })

  // In the order in which things happen: beside an honest agent, alone, and afterwards.
  it.each([...company])(
    'does no harm beside an honest agent: %s',
    async (_name, subject) => {
      await expect.poll(() => seesOnlyTheTruth(agent, subject), { timeout: 15_000 }).toBe(true)
    },
    20_000,
  )

  it('does no harm when only the liar is left', async () => {
    expect(liar.asked.length).toBeGreaterThan(cases.length)
    await honest.stop()
    // It is asked one thing at a time: on a slow machine not all of this at once.
    const untold = () =>
      [...alone.values()].filter(
        ({ repository }) => !liar.asked.some((question) => question.get('repository') === repository),
      )
    await expect
      .poll(
        async () => {
          await Promise.all(untold().map((subject) => seesOnlyTheTruth(agent, subject)))
          return untold().length
        },
        { timeout: 30_000 },
      )
      .toBe(0)
    // Where the seeder has failed twice, an origin would have been asked in between.
    const { image, repository } = alone.get('blobs[].originUrl')!
    const digest = layerOf(image)
    const failed = async () => {
      // On a slow machine the liar was too late with its first answer.
      await got(`${agent.url}/v2/${repository}/manifests/1`)
      return linesWith(agent, 'source-failed').filter((line) => line.includes(digest)).length
    }
    await expect.poll(failed, { timeout: 20_000, interval: 500 }).toBeGreaterThanOrEqual(2)
    expect(trap.visits).toBe(0)
  }, 60_000)

  it('is forgotten when the liar is gone and the seeder is back', async () => {
    await liar.stop()
    door.open()
    await expect.poll(() => metric(agent, 'shoal_agent_announce_stream_up'), { timeout: 15_000 }).toBe(1)
    for (const subjects of [alone, company]) {
      await Promise.all(
        [...subjects].map(([name, subject]) =>
          expect.poll(() => seesOnlyTheTruth(agent, subject), { timeout: 15_000, message: name }).toBe(true),
        ),
      )
    }
    // Nothing of what nobody asked for was kept.
    for (const { repository, evil } of [...company.values(), ...alone.values()]) {
      expect(await got(`${agent.url}/v2/${repository}/manifests/${evil.manifest.digest}`)).toBeUndefined()
      expect(await got(`${agent.url}/v2/${repository}/blobs/${layerOf(evil)}`)).toBeUndefined()
    }
    expect(trap.visits).toBe(0)
  }, 60_000)

  it('does not come back with the next outage', async () => {
    door.close()
    for (const subject of [...company.values(), ...alone.values()])
      expect(await seesOnlyTheTruth(agent, subject)).toBe(true)
  }, 60_000)
})

describe('a liar', () => {
  const subject = subjectOf('team/app')
  let stack: AsyncDisposableStack
  beforeEach(() => {
    stack = new AsyncDisposableStack()
  })
  afterEach(() => stack.disposeAsync())

  it('beside a seeder that waits for another registry does not say what a tag means', async () => {
    const released = Promise.withResolvers<void>()
    stack.defer(() => released.resolve())
    const slow = stack.use(
      await startStub(async (_request, response) => {
        await released.promise
        response.writeHead(404).end()
      }),
    )
    const seeder = stack.use(await startLocalSeeder({ upstreams: `docker.io=http://${slow.host}` }))
    const agent = stack.use(await startLocalAgent(seeder.url, { tagTtlMs: 0 }))
    const liar = stack.use(await startLyingContact(seeder.url))
    await knows(agent, [liar.port])
    const repository = 'docker.io/library/nginx'
    const { image, evil } = subject
    liar.answer = (question) => ({
      tag: { ...forgedTag(subject), record: { ...forgedTag(subject).record, repository, tag: 'latest' } },
      manifests: question.has('blob') ? [] : [manifestOf(image), manifestOf(evil)],
      blobs: [],
    })
    const asked = (reference: string) =>
      fetch(`${agent.url}/v2/library/nginx/manifests/${reference}?ns=docker.io`)
    // A digest proves itself, whoever brings it; the tag that comes along does not.
    const byDigest = await asked(image.manifest.digest)
    expect(byDigest.status).toBe(200)
    expect(Buffer.from(await byDigest.arrayBuffer()).equals(image.manifest.bytes)).toBe(true)
    const byTag = await asked('latest')
    expect(byTag.headers.get('docker-content-digest')).toBeNull()
    expect(byTag.status).toBe(404)
    expect(liar.asked.some((question) => question.get('reference') === 'latest')).toBe(true)
  }, 30_000)

  it('that an earlier version believed is forgotten: tag, media type, piece hashes, pieces', async () => {
    const seeder = stack.use(await startLocalSeeder())
    const door = stack.use(await openDoor(seeder.port))
    const [partial, full, sha1] = [subjectOf('team/partial'), subjectOf('team/full'), subjectOf('team/sha1')]
    const folder = stack.use(await temporaryFolder('believing-agent'))
    const store = new FilePieceStore({ folder: join(folder.path, 'pieces') })
    await store.start()
    for (const each of [partial, full, sha1]) {
      const { repository, image, bytes, evilBytes } = each
      await pushImage(seeder.url, repository, '1', image)
      const digest = layerOf(image)
      await write(record(folder.path, `repos/${repository}/_tags/1`), encodeSignedTag(forgedTag(each)))
      const key = `repos/${repository}/_manifests/sha256/${digestHex(digestOf(image))}`
      await write(record(folder.path, key), Buffer.concat([Buffer.from('text/html\n'), image.manifest.bytes]))
      const isWhole = each === sha1
      const kept = isWhole ? bytes : evilBytes
      const metainfo = metainfoOf(digest, kept)
      // Right bytes under a wrong name: nobody else is in that swarm.
      if (isWhole) metainfo.piecesSha1.fill(0)
      const blob = await store.open(metainfo)
      for (const index of each === partial ? [0, 2] : [0, 1, 2, 3]) {
        const start = index * metainfo.pieceLength
        await blob.writePiece(index, [kept.subarray(start, start + metainfo.pieceLength)])
      }
      if (isWhole) await blob.complete()
    }
    await store.stop()

    door.close()
    const agent = stack.use(await startLocalAgent(door.url, { cache: folder.path, tagTtlMs: 0 }))
    for (const each of [partial, full]) expect(await seesOnlyTheTruth(agent, each)).toBe(false)
    await seesOnlyTheTruth(agent, sha1)
    door.open()
    await expect.poll(() => metric(agent, 'shoal_agent_announce_stream_up'), { timeout: 15_000 }).toBe(1)
    for (const each of [partial, full, sha1]) {
      await expect.poll(() => seesOnlyTheTruth(agent, each), { timeout: 15_000 }).toBe(true)
      const question = { repository: each.repository, blob: layerOf(each.image) }
      const [told] = (await resolutionOf(seeder.url, question)).blobs
      const kept = join(folder.path, 'pieces/metainfo', `sha256-${digestHex(layerOf(each.image))}`)
      await expect.poll(async () => Buffer.from(told!.info).equals(await readFile(kept))).toBe(true)
    }
    expect(linesWith(agent, 'metainfo-replaced').length).toBeGreaterThanOrEqual(2)
    expect(linesWith(agent, 'do not make up a blob').length).toBeGreaterThanOrEqual(1)
    // All of it is signed now, so that it helps others.
    const asked = { repository: full.repository, blob: layerOf(full.image) }
    await expect
      .poll(
        async () => (await resolutionOf(`http://${agent.peerAddress}`, asked)).blobs[0]!.signature?.length,
      )
      .toBe(64)
  }, 60_000)

  it('who never ends is cut off, and is asked one thing at a time', async () => {
    const http = new SeederClient({ mayDial: () => true, streamSecret: () => undefined })
    stack.defer(() => http.stop())
    let sent = 0
    let [atATime, atMost] = [0, 0]
    const endless = stack.use(
      await startStub((_request, response) => {
        atMost = Math.max(atMost, ++atATime)
        response.on('error', () => {})
        response.once('close', () => atATime--)
        response.writeHead(200)
        const pour = () => {
          do sent += 65_536
          while (!response.destroyed && response.write(Buffer.alloc(65_536)))
        }
        response.on('drain', pour)
        pour()
      }),
    )
    const questions = Array.from({ length: 4 }, (_, n) => ({
      repository: `team/app-${n}`,
      reference: '1',
      platform: 'linux/amd64',
      peerId: '',
    }))
    const answers = await Promise.allSettled(
      questions.map((question) => http.resolve(endless.url, question, 'contact')),
    )
    for (const { status } of answers) expect(status).toBe('rejected')
    expect(atMost).toBe(1)
    // What the kernel's buffers hold is beyond what was taken.
    expect(sent).toBeLessThan(4 * CONTACT_ANSWER_BYTES_MAX + 4 * 16 * 1024 * 1024)
  }, 30_000)
})

async function write(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, bytes)
}
