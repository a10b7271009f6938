/**
 * Goal: a blob that the seeder itself still receives is waited for, its length known before, and whoever waits is not left
 * waiting when it does not come.
 * Method: the image directory over a real folder, a seeder whose answers the test gives one by one.
 */
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, encodeInfo, parseDigest } from '@shoal/core'
import { FilesystemObjectStore } from '@shoal/storage'
import { type Resolution, tagRecordBytes } from '@shoal/wire'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { BlobSource } from './blob-source.ts'
import { Contacts } from './contacts.ts'
import { SourceUnavailableError } from './errors.ts'
import type { HttpSources, ResolveQuestion } from './http-sources.ts'
import { ImageDirectory } from './image-directory.ts'
import { ImageRecords } from './image-records.ts'

const SEEDER = 'http://seeder:7000'
const NAME = 'registry.test/team/app'
const LENGTH = 7
const log = pino({ level: 'silent' })
const keys = generateKeyPairSync('ed25519')
const sha256 = (text: string | Uint8Array): Digest =>
  parseDigest(`sha256:${createHash('sha256').update(text).digest('hex')}`)
const [config, layer] = [sha256('{}'), sha256('a layer')]

const image = (() => {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const document = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: LENGTH },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layer, size: LENGTH }],
  }
  const bytes = Buffer.from(JSON.stringify(document))
  return { digest: sha256(bytes), mediaType, bytes }
})()

const record = { repository: NAME, tag: '1', digest: image.digest, issuedAtMs: 1 }
const tag = { record, signature: sign(null, tagRecordBytes(record), keys.privateKey) }
const here = (digest: Digest) => ({
  info: encodeInfo({
    digest,
    length: LENGTH,
    pieceLength: 65_536,
    piecesSha1: new Uint8Array(20),
    piecesSha256: new Uint8Array(32),
  }),
  peers: [],
})
const onItsWay = { manifests: [], blobs: [], arriving: [{ digest: layer, length: LENGTH }] }
const arrived: Resolution = { manifests: [], blobs: [here(layer)] }
/** The image, of which the layer is on its way. */
const pulled: Resolution = { tag, manifests: [image], blobs: [here(config)], arriving: onItsWay.arriving }

type Answer = Resolution | undefined | 'away'
interface Asked {
  readonly baseUrl: string
  readonly question: ResolveQuestion
  answer(answer: Answer): void
}

let folder: string
let asked: Asked[]
let wanted: Digest[]
let contacts: Contacts
let directory: ImageDirectory

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-arriving-'))
  const objects = new FilesystemObjectStore({ folder })
  await objects.start()
  asked = []
  wanted = []
  const records = new ImageRecords({ objects })
  contacts = new Contacts({ records, log })
  contacts.trust(keys.publicKey.export({ type: 'spki', format: 'der' }))
  const http: Pick<HttpSources, 'resolve'> = {
    async resolve(baseUrl, question) {
      const answered = Promise.withResolvers<Answer>()
      asked.push({ baseUrl, question, answer: answered.resolve })
      const answer = await answered.promise
      if (answer === 'away') throw new SourceUnavailableError(baseUrl, 'away')
      return answer
    },
  }
  directory = new ImageDirectory(
    {
      http: http as HttpSources,
      records,
      contacts,
      log,
      nowMs: () => 0,
      onWanted: (sources) => wanted.push(...sources.map(({ metainfo }) => metainfo.digest)),
      isHere: () => false,
      onArriving: () => {},
      onLost: () => {},
    },
    {
      seederUrl: SEEDER,
      peerId: 'ab'.repeat(20),
      platform: { os: 'linux', architecture: 'amd64' },
      tagTtlMs: 1_000,
    },
  )
})
afterEach(async () => {
  await contacts.stop()
  await rm(folder, { recursive: true })
})

/** The next question, which is the `n`th. */
async function question(n: number): Promise<Asked> {
  await vi.waitFor(() => expect(asked).toHaveLength(n), { interval: 1 })
  return asked[n - 1]!
}

/** Pulls the image; the layer is then waited for by question 2. */
async function pull(): Promise<void> {
  const pulling = directory.manifest(NAME, { kind: 'tag', tag: '1' }, 'pull')
  ;(await question(1)).answer(pulled)
  expect((await pulling)?.digest).toBe(image.digest)
}

const digestOf = (source: BlobSource | string | undefined) =>
  typeof source === 'object' ? source.metainfo.digest : undefined

describe('a blob on its way', () => {
  it('does not keep the manifest waiting: what is here is wanted at once, the rest when it arrives', async () => {
    await pull()
    expect(wanted).toEqual([config])
    const waiting = await question(2)
    expect(waiting.question).toMatchObject({ repository: NAME, blob: layer, wait: 'true' })
    expect(waiting.question.peerId).toBe('ab'.repeat(20))
    waiting.answer(arrived)
    await vi.waitFor(() => expect(wanted).toEqual([config, layer]))
  })

  it('has a length that nobody need be asked for', async () => {
    await pull()
    await question(2)
    expect(await directory.length(NAME, layer)).toBe(LENGTH)
    expect(asked).toHaveLength(2)
  })

  it('has a length also where nobody pulled the image here', async () => {
    const length = directory.length(NAME, layer)
    const first = await question(1)
    expect(first.question.wait).toBeUndefined()
    first.answer(onItsWay)
    expect(await length).toBe(LENGTH)
  })

  it('is asked for again and again while the seeder says that it comes', async () => {
    const source = directory.source(NAME, layer)
    const first = await question(1)
    expect(first.question.wait).toBeUndefined()
    first.answer(onItsWay)
    for (const n of [2, 3, 4]) {
      const next = await question(n)
      expect(next.question.wait).toBe('true')
      next.answer(n < 4 ? onItsWay : arrived)
    }
    expect(digestOf(await source)).toBe(layer)
    // It is known from then on.
    expect(digestOf(await directory.source(NAME, layer))).toBe(layer)
    expect(await directory.length(NAME, layer)).toBe(LENGTH)
    expect(asked).toHaveLength(4)
  })

  it('is waited for by many with one question at a time', async () => {
    await pull()
    const sources = Array.from({ length: 20 }, () => directory.source(NAME, layer))
    ;(await question(2)).answer(onItsWay)
    ;(await question(3)).answer(arrived)
    for (const source of sources) expect(digestOf(await source)).toBe(layer)
    expect(asked).toHaveLength(3)
  })
})

describe('a blob that does not come', () => {
  it('because its registry does not have it ends the waiting, and has no length any more', async () => {
    await pull()
    const source = directory.source(NAME, layer)
    ;(await question(2)).answer(onItsWay)
    ;(await question(3)).answer(undefined)
    expect(digestOf(await source)).toBeUndefined()
    expect(wanted).toEqual([config])
    const length = directory.length(NAME, layer)
    ;(await question(4)).answer(undefined)
    expect(await length).toBe('unknown')
  })

  it('because the seeder dies ends the waiting', async () => {
    await pull()
    const source = directory.source(NAME, layer)
    ;(await question(2)).answer('away')
    expect(digestOf(await source)).toBeUndefined()
    expect(wanted).toEqual([config])
  })

  it('from the seeder that dies, and is at another agent, is had from there', async () => {
    contacts.heard([{ peerId: '1'.padStart(40, '0'), host: '10.0.0.1', port: 6001, role: 'agent' }])
    await pull()
    const source = directory.source(NAME, layer)
    ;(await question(2)).answer('away')
    const other = await question(3)
    expect(other.baseUrl).toBe('http://10.0.0.1:6001')
    expect(other.question.peerId).toBe('')
    other.answer(arrived)
    expect(digestOf(await source)).toBe(layer)
  })

  it('is not waited for on another agent’s word', async () => {
    contacts.heard([{ peerId: '1'.padStart(40, '0'), host: '10.0.0.1', port: 6001, role: 'agent' }])
    const source = directory.source(NAME, layer)
    ;(await question(1)).answer('away')
    ;(await question(2)).answer(onItsWay)
    expect(digestOf(await source)).toBeUndefined()
    expect(asked).toHaveLength(2)
  })

  it('is not asked for any more when its reader has left', async () => {
    const leaving = new AbortController()
    const source = directory.source(NAME, layer, leaving.signal)
    ;(await question(1)).answer(onItsWay)
    const waiting = await question(2)
    leaving.abort(new Error('the client left'))
    waiting.answer(onItsWay)
    await expect(source).rejects.toThrow('the client left')
    expect(asked).toHaveLength(2)
  })

  it('is asked for anew by the next who wants it', async () => {
    const first = directory.source(NAME, layer)
    ;(await question(1)).answer(undefined)
    await first
    const second = directory.source(NAME, layer)
    ;(await question(2)).answer(arrived)
    expect(digestOf(await second)).toBe(layer)
  })
})
