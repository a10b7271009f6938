/**
 * Goal: a reference means what the seeder says, or said, and never what a stranger claims. Method: a real folder for records,
 * a seeder and contacts that answer what the test tells them to.
 */
import { generateKeyPairSync } from 'node:crypto'
import type { Digest, PeerAddress } from '@shoal/core'
import { FilesystemObjectStore } from '@shoal/storage'
import { sha256 } from '@shoal/testing/content'
import { encodeSignedTag, type Resolution, type SignedTag } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Contacts } from './contacts.ts'
import { UnobtainableError } from './errors.ts'
import type { ImageDirectory } from './image-directory.ts'
import { ImageRecords } from './image-records.ts'
import type { KnownBlob } from './known-blob.ts'
import type { ResolveQuestion } from './seeder-client.ts'
import {
  type Answer,
  BLOB_LENGTH,
  openTestDirectory,
  resolvedBlob,
  SEEDER,
  signedTag,
  silent,
  type TestDirectory,
  TTL_MS,
} from './testing/test-directory.ts'

const contact = (n: number): PeerAddress => ({
  peerId: `${n}`.padStart(40, '0'),
  host: `10.0.0.${n}`,
  port: 6001,
  role: 'agent',
})

const layer = sha256(Buffer.from('a layer'))

function imageOf(text: string) {
  const config = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: sha256(Buffer.from(text)),
    size: 1,
  }
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const layers = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layer, size: BLOB_LENGTH }]
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }))
  return { digest: sha256(bytes), mediaType, bytes, config: config.digest }
}

const tagOf = (digest: Digest, issuedAtMs: number, key?: Parameters<typeof signedTag>[1]) =>
  signedTag({ repository: 'team/app', tag: '1', digest, issuedAtMs }, key)

const resolutionOf = (image: ReturnType<typeof imageOf>, tag?: SignedTag): Resolution => ({
  ...(tag !== undefined && { tag }),
  manifests: [{ digest: image.digest, mediaType: image.mediaType, bytes: image.bytes }],
  blobs: [resolvedBlob(layer), resolvedBlob(image.config)],
})

let answers: Map<string, Answer>
let questions: { baseUrl: string; question: ResolveQuestion }[]
let wanted: KnownBlob[]
let nowMs: number
let isSeederThere: boolean
let whole: (digest: Digest) => boolean
let opened: TestDirectory
let contacts: Contacts
let directory: ImageDirectory

beforeEach(async () => {
  answers = new Map()
  questions = []
  wanted = []
  nowMs = 0
  isSeederThere = true
  whole = () => true
  opened = await openTestDirectory({
    answer(baseUrl, question) {
      questions.push({ baseUrl, question })
      return answers.has(baseUrl) ? answers.get(baseUrl) : 'away'
    },
    nowMs: () => nowMs,
    onWanted: (sources) => wanted.push(...sources),
    isWhole: (digest) => whole(digest),
    isSeederThere: () => isSeederThere,
  })
  ;({ contacts, directory } = opened)
})

afterEach(() => opened[Symbol.asyncDispose]())

const byTag = { kind: 'tag', tag: '1' } as const
const [old, recent] = [imageOf('old'), imageOf('recent')]
/** @returns undefined also where nobody can say */
const digestNow = async () => {
  try {
    return (await directory.manifest('team/app', byTag, 'look'))?.digest
  } catch (error) {
    if (error instanceof UnobtainableError) return undefined
    throw error
  }
}

describe('a tag', () => {
  it('costs one question for the manifest and all layers, however many clients ask at once', async () => {
    answers.set(SEEDER, resolutionOf(recent, tagOf(recent.digest, 1)))
    const manifests = await Promise.all([1, 2, 3].map(() => directory.manifest('team/app', byTag, 'pull')))
    for (const manifest of manifests) expect(manifest?.digest).toBe(recent.digest)
    expect(questions).toHaveLength(1)
    expect(questions[0]?.question.peerId).toBe('ab'.repeat(20))
    expect(wanted.map(({ metainfo }) => metainfo.digest)).toContain(layer)
  })

  it('is believed for a short time, then asked for again', async () => {
    answers.set(SEEDER, resolutionOf(old, tagOf(old.digest, 1)))
    expect(await digestNow()).toBe(old.digest)
    answers.set(SEEDER, resolutionOf(recent, tagOf(recent.digest, 2)))
    nowMs = TTL_MS - 1
    expect(await digestNow()).toBe(old.digest)
    nowMs = TTL_MS
    expect(await digestNow()).toBe(recent.digest)
  })

  it('is looked at without being taken into swarms', async () => {
    answers.set(SEEDER, resolutionOf(recent, tagOf(recent.digest, 1)))
    await digestNow()
    expect(questions[0]?.question.peerId).toBe('')
    expect(wanted).toEqual([])
  })

  it('is unknown when the seeder says so, whatever was known before', async () => {
    answers.set(SEEDER, resolutionOf(old, tagOf(old.digest, 1)))
    await digestNow()
    answers.set(SEEDER, undefined)
    nowMs = TTL_MS
    expect(await digestNow()).toBeUndefined()
  })
})

describe('an index of blobs, such as a build cache', () => {
  const mediaType = 'application/vnd.oci.image.index.v1+json'
  const manifests = [
    { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: layer, size: BLOB_LENGTH },
  ]
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }))
  const cache = { digest: sha256(bytes), mediaType, bytes }
  const resolution = (): Resolution => ({
    tag: tagOf(cache.digest, 1),
    manifests: [cache],
    blobs: [resolvedBlob(layer)],
  })

  it('gives its blobs to who asks for them, and brings them only to who has it warm', async () => {
    answers.set(SEEDER, resolution())
    expect((await directory.manifest('team/app', byTag, 'pull'))?.digest).toBe(cache.digest)
    expect(wanted).toEqual([])
    expect(await directory.source('team/app', layer)).toMatchObject({ metainfo: { digest: layer } })
    expect(questions).toHaveLength(1)
    directory.warm('team/app', '1')
    await expect.poll(() => wanted.map(({ metainfo }) => metainfo.digest)).toEqual([layer])
  })

  it('is proven by another agent while the seeder is away, with its blobs', async () => {
    contacts.heard([contact(1)])
    answers.set('http://10.0.0.1:6001', resolution())
    expect((await directory.manifest('team/app', byTag, 'pull'))?.digest).toBe(cache.digest)
    expect(directory.hasBlob('team/app', layer)).toBe(true)
    expect(await directory.remembers('team/app', layer)).toBe(true)
  })
})

describe('while the seeder is away', () => {
  it('a tag means what it meant last', async () => {
    answers.set(SEEDER, resolutionOf(old, tagOf(old.digest, 1)))
    await digestNow()
    answers.set(SEEDER, 'away')
    nowMs = 10 * TTL_MS
    expect(await digestNow()).toBe(old.digest)
  })

  it('other agents are asked, and the latest signed meaning wins', async () => {
    contacts.heard([contact(1), contact(2), contact(3)])
    answers.set('http://10.0.0.1:6001', resolutionOf(old, tagOf(old.digest, 1)))
    answers.set('http://10.0.0.2:6001', resolutionOf(recent, tagOf(recent.digest, 2)))
    expect(await digestNow()).toBe(recent.digest)
  })

  it.each([
    ['signed by somebody else', tagOf(recent.digest, 9, generateKeyPairSync('ed25519').privateKey)],
    [
      'for another tag',
      { ...tagOf(recent.digest, 9), record: { ...tagOf(recent.digest, 9).record, tag: '2' } },
    ],
    ['not signed at all', undefined],
  ])('a meaning that is %s is refused', async (_what, tag) => {
    contacts.heard([contact(1)])
    answers.set('http://10.0.0.1:6001', resolutionOf(recent, tag))
    expect(await digestNow()).toBeUndefined()
  })

  it('a manifest with other bytes than its digest is refused', async () => {
    contacts.heard([contact(1)])
    const forged = { ...recent, digest: old.digest }
    answers.set('http://10.0.0.1:6001', resolutionOf(forged, tagOf(old.digest, 9)))
    expect(await digestNow()).toBeUndefined()
  })

  it('eight of them are asked one question, however many are known', async () => {
    contacts.heard(Array.from({ length: 20 }, (_, n) => contact(n + 1)))
    expect(await digestNow()).toBeUndefined()
    const asked = questions.filter(({ baseUrl }) => baseUrl !== SEEDER)
    expect(new Set(asked.map(({ baseUrl }) => baseUrl)).size).toBe(8)
    expect(asked).toHaveLength(8)
  })

  it('a digest needs no signature: it proves itself', async () => {
    contacts.heard([contact(1)])
    answers.set('http://10.0.0.1:6001', { manifests: [recent], blobs: [resolvedBlob(layer)] })
    const manifest = await directory.manifest('team/app', { kind: 'digest', digest: recent.digest }, 'look')
    expect(recent.bytes.equals(manifest!.bytes)).toBe(true)
  })

  it('nobody knows what nobody knows', async () => {
    contacts.heard([contact(1)])
    expect(await digestNow()).toBeUndefined()
    expect(await directory.source('team/app', layer)).toBeUndefined()
  })
})

describe('what nobody can give', () => {
  const url = 'http://10.0.0.1:6001'
  const pull = () => directory.manifest('team/app', byTag, 'pull')
  const asked = () => questions.filter(({ baseUrl }) => baseUrl !== SEEDER).map(({ question }) => question)

  beforeEach(async () => {
    whole = () => false
    answers.set(SEEDER, resolutionOf(recent, tagOf(recent.digest, 1)))
    // Somebody has only looked at the tag: its manifest is here, its blobs are nowhere.
    await directory.manifest('team/app', byTag, 'look')
    answers.set(SEEDER, 'away')
    isSeederThere = false
    questions = []
  })

  it.each(['look', 'pull'] as const)('is not promised to who %ss', async (purpose) => {
    await expect(directory.manifest('team/app', byTag, purpose)).rejects.toThrow(
      /no other agent has sha256:\w+ and 1 more blobs, and the seeder at http:\/\/seeder:7000 cannot be reached: away/,
    )
    await expect(directory.requireBlob('team/app', layer)).rejects.toThrow(UnobtainableError)
  })

  it('is promised where the seeder is there, and nobody else is asked', async () => {
    isSeederThere = true
    contacts.heard([contact(1)])
    expect((await pull())?.digest).toBe(recent.digest)
    await directory.requireBlob('team/app', layer)
    expect(asked()).toEqual([])
  })

  it('is promised where all of it is here, and nobody is asked', async () => {
    whole = () => true
    contacts.heard([contact(1)])
    expect((await pull())?.digest).toBe(recent.digest)
    expect(asked()).toEqual([])
  })

  it('is promised where other agents have it, all of every blob', async () => {
    contacts.heard([contact(1)])
    const [ofLayer, ofConfig] = [resolvedBlob(layer), resolvedBlob(recent.config)]
    const answer = (...blobs: readonly Resolution['blobs'][number][]) =>
      answers.set(url, { manifests: [recent], blobs: [...blobs] })
    answer(ofConfig)
    await expect(pull()).rejects.toThrow(`no other agent has ${layer}`)
    answer({ ...ofLayer, isPart: true }, ofConfig)
    nowMs = 6_000
    await expect(pull()).rejects.toThrow(UnobtainableError)
    answer(ofLayer, ofConfig)
    expect((await pull())?.digest).toBe(recent.digest)
    questions = []
    expect((await pull())?.digest).toBe(recent.digest)
    await directory.requireBlob('team/app', layer)
    expect(asked(), 'an offer counts for a while').toEqual([])
  })

  it('is not promised by an agent that only heard of it, as one that looked at the tag did', async () => {
    contacts.heard([contact(1)])
    answers.set(url, { ...resolutionOf(recent, tagOf(recent.digest, 1)), blobs: [] })
    await expect(pull()).rejects.toThrow(UnobtainableError)
  })

  it('is not asked again of an agent that does not answer: a pull waits for it once', async () => {
    contacts.heard([contact(1), contact(2)])
    answers.set(url, 'silent')
    nowMs = 1_000_000
    for (let n = 0; n < 3; n++) await expect(pull()).rejects.toThrow(UnobtainableError)
    const askedAt = (host: string) => questions.filter(({ baseUrl }) => baseUrl.includes(host)).length
    expect(askedAt('10.0.0.1')).toBe(1)
    expect(askedAt('10.0.0.2')).toBeGreaterThan(3)
    nowMs += 10_000
    await expect(pull()).rejects.toThrow(UnobtainableError)
    expect(askedAt('10.0.0.1')).toBe(2)
  })

  it('is found with an agent that has the blob of another image', async () => {
    contacts.heard([contact(1)])
    whole = (digest) => digest === recent.config
    answers.set(url, undefined)
    await expect(pull()).rejects.toThrow(UnobtainableError)
    expect(asked().map(({ blob }) => blob)).toContain(layer)
  })
})

describe('what the seeder has just said', () => {
  const DAY_MS = 24 * 60 * 60 * 1_000
  beforeEach(() => {
    nowMs = 10 * DAY_MS
  })

  it('replaces what it said before, also with an earlier date', async () => {
    answers.set(SEEDER, resolutionOf(old, tagOf(old.digest, nowMs + DAY_MS)))
    await digestNow()
    nowMs += TTL_MS
    answers.set(SEEDER, resolutionOf(recent, tagOf(recent.digest, nowMs)))
    expect(await digestNow()).toBe(recent.digest)
    answers.set(SEEDER, 'away')
    nowMs += TTL_MS
    expect(await digestNow()).toBe(recent.digest)
  })

  it('counts for more than a record from the future that another agent still has', async () => {
    contacts.heard([contact(1)])
    answers.set('http://10.0.0.1:6001', resolutionOf(old, tagOf(old.digest, nowMs + DAY_MS)))
    answers.set(SEEDER, resolutionOf(recent, tagOf(recent.digest, nowMs - DAY_MS)))
    expect(await digestNow()).toBe(recent.digest)
    answers.set(SEEDER, 'away')
    nowMs += TTL_MS
    expect(await digestNow()).toBe(recent.digest)
  })

  it('is asked for again when the node’s clock was put back', async () => {
    answers.set(SEEDER, resolutionOf(old, tagOf(old.digest, 1)))
    await digestNow()
    answers.set(SEEDER, resolutionOf(recent, tagOf(recent.digest, 2)))
    nowMs -= DAY_MS
    expect(await digestNow()).toBe(recent.digest)
  })
})

describe('what is kept on this node', () => {
  const records = () => new ImageRecords({ objects: new FilesystemObjectStore({ folder: opened.folder }) })

  it('says nothing of a tag where the seeder has not signed it, and goes', async () => {
    const forged = tagOf(old.digest, 9, generateKeyPairSync('ed25519').privateKey)
    await records().keepTag(forged)
    await records().keepManifest('team/app', old)
    expect(await digestNow()).toBeUndefined()
    expect(await records().tag('team/app', '1')).toBeUndefined()
  })

  it('says nothing of another tag', async () => {
    const other = signedTag({ repository: 'team/app', tag: '2', digest: old.digest, issuedAtMs: 1 })
    await records().keepManifest('team/app', old)
    await records().write('repos/team/app/_tags/1', encodeSignedTag(other))
    expect(await digestNow()).toBeUndefined()
  })

  it('that is spoilt is as if it were not there', async () => {
    await records().write('repos/team/app/_tags/1', Buffer.from('spoilt'))
    expect(await digestNow()).toBeUndefined()
  })

  it('has the media type of its bytes, whatever stands beside them', async () => {
    await records().keepManifest('team/app', { ...old, mediaType: 'text/html' })
    const byDigest = { kind: 'digest', digest: old.digest } as const
    const manifest = await directory.manifest('team/app', byDigest, 'pull')
    expect(manifest?.mediaType).toBe(old.mediaType)
  })
})

describe('a blob that is here', () => {
  const other = 'team/other'

  it('is of the repositories that the seeder says, and of no other', async () => {
    answers.set(SEEDER, resolutionOf(imageOf('config')))
    await directory.source('team/app', layer)
    expect(directory.hasBlob('team/app', layer)).toBe(true)
    expect(directory.hasBlob(other, layer)).toBe(false)
    answers.set(SEEDER, undefined)
    expect(await directory.source(other, layer)).toBe('unknown')
    expect(await directory.source('team/app', layer)).toMatchObject({ metainfo: { digest: layer } })
    answers.set(SEEDER, { manifests: [], blobs: [resolvedBlob(layer)] })
    await directory.source(other, layer)
    expect(directory.hasBlob(other, layer)).toBe(true)
  })

  it('is nobody’s by an agent’s word alone', async () => {
    contacts.heard([contact(1)])
    answers.set('http://10.0.0.1:6001', { manifests: [], blobs: [resolvedBlob(layer)] })
    expect(await directory.source('team/app', layer)).toMatchObject({
      metainfo: { digest: layer },
      peers: [contact(1)],
    })
    expect(directory.hasBlob('team/app', layer)).toBe(false)
    answers.set(SEEDER, undefined)
    expect(await directory.source('team/app', layer)).toBe('unknown')
  })
})

describe('contacts', () => {
  it('are there again after a restart, with the key', async () => {
    contacts.heard([contact(1), contact(2)])
    await contacts.stop()
    const objects = new FilesystemObjectStore({ folder: opened.folder })
    const again = new Contacts({ records: new ImageRecords({ objects }), log: silent })
    await again.start()
    expect(again.agents.map(({ host }) => host)).toEqual(['10.0.0.2', '10.0.0.1'])
    expect(again.isGenuineTag(tagOf(old.digest, 1))).toBe(true)
  })

  it('that say hello many times from one host are asked in turn with the others, and push nobody out', () => {
    contacts.heard([contact(1), contact(2)])
    const crowd = Array.from({ length: 60 }, (_, n) => ({
      ...contact(9),
      peerId: `${n}`.padStart(40, 'f'),
      port: 7_000 + n,
    }))
    contacts.heard(crowd)
    expect(contacts.agents).toHaveLength(32)
    expect(contacts.agents.slice(0, 3).map(({ host }) => host)).toEqual(['10.0.0.9', '10.0.0.2', '10.0.0.1'])
  })

  it('are nobody where their record is spoilt', async () => {
    const records = new ImageRecords({ objects: new FilesystemObjectStore({ folder: opened.folder }) })
    await records.write('cluster/contacts', Buffer.from('spoilt'))
    await records.write('cluster/signing-key', Buffer.from('spoilt'))
    const again = new Contacts({ records, log: silent })
    await again.start()
    expect(again.agents).toEqual([])
    expect(again.isGenuineTag(tagOf(old.digest, 1))).toBe(false)
  })

  it('are bounded, the latest kept, one for each address', () => {
    contacts.heard(Array.from({ length: 50 }, (_, n) => contact(n)))
    contacts.heard([{ ...contact(49), peerId: 'f'.repeat(40) }])
    expect(contacts.agents).toHaveLength(32)
    expect(contacts.agents[0]?.peerId).toBe('f'.repeat(40))
  })
})
