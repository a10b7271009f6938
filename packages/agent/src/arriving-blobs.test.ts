/**
 * Goal: a blob that the seeder itself still receives is waited for, its length known before, and whoever waits is not left
 * waiting when it does not come.
 * Method: the image directory over a real folder, a seeder whose answers the test gives one by one.
 */
import type { Digest } from '@shoal/core'
import { sha256 } from '@shoal/testing/content'
import type { Resolution } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Contacts } from './contacts.ts'
import type { ImageDirectory } from './image-directory.ts'
import type { KnownBlob } from './known-blob.ts'
import type { ResolveQuestion } from './seeder-client.ts'
import {
  type Answer,
  BLOB_LENGTH,
  openTestDirectory,
  resolvedBlob,
  signedTag,
  type TestDirectory,
} from './testing/test-directory.ts'

const NAME = 'registry.test/team/app'
const [config, layer] = [sha256('{}'), sha256('a layer')]

const image = (() => {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const document = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: BLOB_LENGTH },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layer, size: BLOB_LENGTH }],
  }
  const bytes = Buffer.from(JSON.stringify(document))
  return { digest: sha256(bytes), mediaType, bytes }
})()

const tag = signedTag({ repository: NAME, tag: '1', digest: image.digest, issuedAtMs: 1 })
const onItsWay = { manifests: [], blobs: [], arriving: [{ digest: layer, length: BLOB_LENGTH }] }
const arrived: Resolution = { manifests: [], blobs: [resolvedBlob(layer)] }
/** The image, of which the layer is on its way. */
const pulled: Resolution = {
  tag,
  manifests: [image],
  blobs: [resolvedBlob(config)],
  arriving: onItsWay.arriving,
}

interface Asked {
  readonly baseUrl: string
  readonly question: ResolveQuestion
  answer(answer: Answer): void
}

let opened: TestDirectory
let nowMs: number
let isTold: boolean
/** Who waits for news of a blob. */
let waiting: (() => void)[]
let quietTimes: (number | undefined)[]
let lost: Digest[]
let asked: Asked[]
let wanted: Digest[]
let contacts: Contacts
let directory: ImageDirectory

beforeEach(async () => {
  asked = []
  wanted = []
  nowMs = 0
  isTold = false
  waiting = []
  quietTimes = []
  lost = []
  opened = await openTestDirectory({
    answer(baseUrl, question) {
      const answered = Promise.withResolvers<Answer>()
      asked.push({ baseUrl, question, answer: answered.resolve })
      return answered.promise
    },
    nowMs: () => nowMs,
    arrivalNews: {
      get isTold() {
        return isTold
      },
      next: (_infoHash, quietMs) => {
        quietTimes.push(quietMs)
        return new Promise((resolve) => waiting.push(resolve))
      },
    },
    onLost: (digest) => lost.push(digest),
    onWanted: (sources) => wanted.push(...sources.map(({ metainfo }) => metainfo.digest)),
  })
  ;({ contacts, directory } = opened)
})
afterEach(() => opened[Symbol.asyncDispose]())

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

const digestOf = (source: KnownBlob | string | undefined) =>
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
    expect(await directory.length(NAME, layer)).toBe(BLOB_LENGTH)
    expect(asked).toHaveLength(2)
  })

  it('has a length also where nobody pulled the image here', async () => {
    const length = directory.length(NAME, layer)
    const first = await question(1)
    expect(first.question.wait).toBeUndefined()
    first.answer(onItsWay)
    expect(await length).toBe(BLOB_LENGTH)
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
    expect(await directory.length(NAME, layer)).toBe(BLOB_LENGTH)
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

  it('because the seeder dies is given up after a while, and not before: it may be back', async () => {
    await pull()
    const source = directory.source(NAME, layer)
    ;(await question(2)).answer('away')
    await vi.waitFor(() => expect(waiting).toHaveLength(1))
    nowMs = 19_999
    waiting.pop()!()
    ;(await question(3)).answer('away')
    await vi.waitFor(() => expect(waiting).toHaveLength(1))
    expect(lost).toEqual([])
    nowMs = 20_000
    waiting.pop()!()
    ;(await question(4)).answer('away')
    expect(digestOf(await source)).toBeUndefined()
    expect([wanted, lost]).toEqual([[config], [layer]])
  })

  it('for a while because the seeder was started anew comes all the same', async () => {
    await pull()
    const source = directory.source(NAME, layer)
    ;(await question(2)).answer('away')
    await vi.waitFor(() => expect(waiting).toHaveLength(1))
    nowMs = 5_000
    waiting.pop()!()
    ;(await question(3)).answer(onItsWay)
    nowMs = 24_000
    ;(await question(4)).answer('away')
    await vi.waitFor(() => expect(waiting).toHaveLength(1))
    waiting.pop()!()
    ;(await question(5)).answer(arrived)
    expect(digestOf(await source)).toBe(layer)
    expect(lost).toEqual([])
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

  it('keeps nobody who has left; it is waited for all the same, since the image is wanted', async () => {
    const leaving = new AbortController()
    const source = directory.source(NAME, layer, leaving.signal)
    ;(await question(1)).answer(onItsWay)
    const waiting = await question(2)
    leaving.abort(new Error('the client left'))
    await expect(source).rejects.toThrow('the client left')
    waiting.answer(arrived)
    expect(digestOf(await directory.source(NAME, layer))).toBe(layer)
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

describe('a blob on its way, whose end the seeder tells over the announce stream', () => {
  const told: Resolution = {
    manifests: [],
    blobs: [],
    arriving: [{ digest: layer, length: BLOB_LENGTH, pieces: { sha256: new Uint8Array(), peers: [] } }],
  }
  beforeEach(() => {
    isTold = true
  })

  it('is asked for when there is news, by questions that nobody need hold back', async () => {
    const sources = Array.from({ length: 20 }, () => directory.source(NAME, layer))
    ;(await question(1)).answer(told)
    for (const [n, answer] of [
      [2, told],
      [3, arrived],
    ] as const) {
      await vi.waitFor(() => expect(waiting).toHaveLength(1))
      expect(asked).toHaveLength(n - 1)
      waiting.pop()!()
      const next = await question(n)
      expect(next.question.wait).toBeUndefined()
      next.answer(answer)
    }
    for (const source of sources) expect(digestOf(await source)).toBe(layer)
    expect(asked).toHaveLength(3)
    expect(wanted).toEqual([layer])
  })

  it('is asked for again, ever more seldom, while it has no swarm: nobody tells of it', async () => {
    const source = directory.source(NAME, layer)
    ;(await question(1)).answer(onItsWay)
    for (const [n, quietMs] of [100, 200, 400].entries()) {
      await vi.waitFor(() => expect(waiting).toHaveLength(1))
      expect(quietTimes.at(-1)).toBe(quietMs)
      waiting.pop()!()
      const next = await question(n + 2)
      expect(next.question.wait).toBeUndefined()
      next.answer(quietMs < 400 ? onItsWay : arrived)
    }
    expect(digestOf(await source)).toBe(layer)
  })

  it('that only a question for its length has begun is heard of all the same', async () => {
    const length = directory.length(NAME, layer)
    ;(await question(1)).answer(told)
    expect(await length).toBe(BLOB_LENGTH)
    expect([directory.arrivingLength(layer), await directory.locate(NAME, layer)]).toEqual([
      BLOB_LENGTH,
      'arriving',
    ])
    await vi.waitFor(() => expect(waiting).toHaveLength(1))
    waiting.pop()!()
    ;(await question(2)).answer(undefined)
    await vi.waitFor(() => expect(lost).toEqual([layer]))
    expect(directory.arrivingLength(layer)).toBeUndefined()
  })
})
