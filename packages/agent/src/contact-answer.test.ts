/**
 * Goal: of another agent's answer only that counts which was asked for and proves itself. Method: an honest answer, and the
 * same with one thing wrong; the signature of each blob counts as genuine where the test says so.
 */
import { createHash } from 'node:crypto'
import { type Digest, encodeInfo, type PeerAddress } from '@shoal/core'
import { sha256 } from '@shoal/testing/content'
import type { Resolution, ResolvedBlob, SignedTag } from '@shoal/wire'
import { beforeEach, describe, expect, it } from 'vitest'
import { type AskedOfContact, provenPart } from './contact-answer.ts'
import { SourceUnavailableError } from './errors.ts'

const contact: PeerAddress = { peerId: 'cc'.repeat(20), host: '10.0.0.1', port: 6001, role: 'agent' }
const OCI = 'application/vnd.oci.image'
const REPOSITORY = 'team/app'

function manifestOf(document: object) {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, ...document }))
  return { digest: sha256(bytes), bytes }
}
const config = sha256('config')
const layers = ['one', 'two'].map((text) => sha256(text))
const image = manifestOf({
  config: { mediaType: `${OCI}.config.v1+json`, digest: config, size: 6 },
  layers: layers.map((digest) => ({ mediaType: `${OCI}.layer.v1.tar`, digest, size: 3 })),
})
const descriptor = ({ digest, bytes }: typeof image, architecture: string) => ({
  mediaType: `${OCI}.manifest.v1+json`,
  digest,
  size: bytes.length,
  platform: { os: 'linux', architecture },
})
const foreign = manifestOf({ config: { mediaType: 'x/y', digest: sha256('arm'), size: 3 }, layers: [] })
const index = manifestOf({ manifests: [descriptor(foreign, 'arm64'), descriptor(image, 'amd64')] })
const withType = (manifest: typeof image, mediaType = `${OCI}.manifest.v1+json`) => ({
  ...manifest,
  mediaType,
})

const GENUINE = new Uint8Array(64).fill(1)
const blobOf = (digest: Digest, signature: Uint8Array | undefined = GENUINE): ResolvedBlob => ({
  info: encodeInfo({
    digest,
    length: 3,
    pieceLength: 65_536,
    piecesSha1: new Uint8Array(20),
    piecesSha256: new Uint8Array(32),
  }),
  peers: [{ peerId: 'ee'.repeat(20), host: '169.254.169.254', port: 80, role: 'seeder' }],
  originUrl: 'http://169.254.169.254/latest/meta-data',
  inline: Buffer.from('lie'),
  imports: { modulus: 1, remainders: [] },
  ...(signature !== undefined && { signature }),
})
const tag = (record: Partial<SignedTag['record']> = {}, signature = GENUINE): SignedTag => ({
  record: { repository: REPOSITORY, tag: '1', digest: image.digest, issuedAtMs: 1, ...record },
  signature,
})

let checked: number
beforeEach(() => {
  checked = 0
})
const isGenuine = (signature: Uint8Array) => {
  checked++
  return Buffer.from(signature).equals(GENUINE)
}
const proven = (question: Omit<AskedOfContact, 'repository'>, answer: Resolution) =>
  provenPart({ repository: REPOSITORY, ...question }, answer, {
    contacts: {
      isGenuineTag: ({ signature }) => isGenuine(signature),
      isGenuineMetainfo: (digest, infoSha256, signature) =>
        infoSha256 === createHash('sha256').update(blobOf(digest).info).digest('hex') && isGenuine(signature),
    },
    contact,
    platform: { os: 'linux', architecture: 'amd64' },
  })
const digestsIn = ({ sources }: ReturnType<typeof proven>) => sources.map(({ metainfo }) => metainfo.digest)

const honest: Resolution = { manifests: [withType(image)], blobs: [config, ...layers].map((d) => blobOf(d)) }

describe('a blob', () => {
  it('is taken where it was asked for and its metainfo is signed, and nothing else with it', () => {
    const answer = proven(
      { blob: layers[0]! },
      { ...honest, tag: tag(), warning: 'x', blobs: [blobOf(layers[1]!), blobOf(layers[0]!)] },
    )
    expect(Object.keys(answer).sort()).toEqual(['manifests', 'sources', 'whole'])
    expect(answer.manifests).toEqual([])
    expect(digestsIn(answer)).toEqual([layers[0]])
    const [source] = answer.sources
    expect(source!.peers).toEqual([contact])
    expect(Object.keys(source!).sort()).toEqual(['infoHash', 'metainfo', 'peers', 'repository', 'signature'])
  })

  it.each([
    ['without a signature', () => ({ ...blobOf(layers[0]!), signature: undefined }) as never],
    ['signed by somebody else', () => blobOf(layers[0]!, new Uint8Array(64))],
    ['whose metainfo is none', () => ({ ...blobOf(layers[0]!), info: Buffer.from('de') })],
  ])('is not taken %s', (_what, blob) => {
    expect(proven({ blob: layers[0]! }, { manifests: [], blobs: [blob()] }).sources).toEqual([])
  })

  it('costs few checks where the signatures are false, and one where they are repeated', () => {
    const many = Array.from({ length: 100 }, () => blobOf(layers[0]!, new Uint8Array(64)))
    proven({ blob: layers[0]! }, { manifests: [], blobs: many })
    expect(checked).toBe(4)
    proven({ blob: layers[0]! }, { manifests: [], blobs: many.map(() => blobOf(layers[0]!)) })
    expect(checked).toBe(5)
  })

  it('does not keep the whole answer in memory', () => {
    const answer = Buffer.alloc(1_000_000)
    const { info, ...rest } = blobOf(layers[0]!)
    answer.set(info, 500)
    const blob = { ...rest, info: answer.subarray(500, 500 + info.length) }
    const [source] = proven({ blob: layers[0]! }, { manifests: [], blobs: [blob] }).sources
    expect(source!.metainfo.piecesSha256.buffer.byteLength).toBeLessThan(10_000)
  })
})

describe('a manifest by digest', () => {
  const question = { reference: image.digest }

  it('is taken with the blobs that it needs, and no tag', () => {
    const answer = proven(question, {
      ...honest,
      tag: tag(),
      blobs: [...honest.blobs, blobOf(sha256('more'))],
    })
    expect(answer.tag).toBeUndefined()
    expect(answer.manifests).toEqual([withType(image)])
    expect(digestsIn(answer)).toEqual([config, ...layers])
  })

  it('has the media type that its bytes have', () => {
    const said = [withType(image, 'text/html')]
    expect(proven(question, { ...honest, manifests: said }).manifests).toEqual([withType(image)])
    const said2 = [withType(index, `${OCI}.manifest.v1+json`)]
    const answer = proven({ reference: index.digest }, { manifests: said2, blobs: [] })
    expect(answer.manifests).toEqual([withType(index, `${OCI}.index.v1+json`)])
  })

  const both = manifestOf({ config: {}, layers: [], manifests: [] })
  it.each<[string, string, Resolution['manifests']]>([
    ['is missing', image.digest, []],
    ['is another', image.digest, [withType(foreign)]],
    ['has other bytes', image.digest, [{ ...withType(image), bytes: foreign.bytes }]],
    ['is two things at once', both.digest, [withType(both)]],
  ])('is refused where it %s', (_what, reference, manifests) => {
    expect(() => proven({ reference }, { manifests, blobs: [] })).toThrow(SourceUnavailableError)
  })

  it('of an index brings the one for this platform, and no other', () => {
    const ask = { reference: index.digest }
    const indexed = withType(index, `${OCI}.index.v1+json`)
    const whole = proven(ask, { ...honest, manifests: [withType(image), indexed] })
    expect(whole.manifests.map(({ digest }) => digest)).toEqual([index.digest, image.digest])
    expect(digestsIn(whole)).toEqual([config, ...layers])
    const other = proven(ask, { ...honest, manifests: [indexed, withType(foreign)] })
    expect(other.manifests.map(({ digest }) => digest)).toEqual([index.digest])
    expect(other.sources).toEqual([])
  })
})

describe('a tag', () => {
  const question = { reference: '1' }

  it('is taken with its manifest where the seeder signed it', () => {
    const answer = proven(question, { ...honest, tag: tag() })
    expect(answer.tag).toEqual(tag())
    expect(answer.manifests.map(({ digest }) => digest)).toEqual([image.digest])
  })

  it.each([
    ['of another repository', tag({ repository: 'team/other' })],
    ['of another name', tag({ tag: '2' })],
    ['of another digest than the manifest', tag({ digest: foreign.digest })],
    ['signed by somebody else', tag({}, new Uint8Array(64))],
    ['that is not there', undefined],
  ])('%s is refused', (_what, signed) => {
    const answer = { ...honest, ...(signed !== undefined && { tag: signed }) }
    expect(() => proven(question, answer)).toThrow(SourceUnavailableError)
  })
})
