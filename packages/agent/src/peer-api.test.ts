/**
 * Goal: another agent is told what it can check, and no more than it will take. Method: the API behind a socket, with records in
 * a real folder and blobs of which only the metainfo is there.
 */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bitfield, type Digest, pieceCount, pieceLengthFor } from '@shoal/core'
import { FilesystemObjectStore, type PieceStore, type StoredBlob } from '@shoal/storage'
import { sha256 } from '@shoal/testing/content'
import { CONTACT_ANSWER_BYTES_MAX, decodeResolution } from '@shoal/wire'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ImageRecords } from './image-records.ts'
import { PeerApi } from './peer-api.ts'
import { silent } from './testing/test-directory.ts'

const OCI = 'application/vnd.oci.image'
const SIGNATURE = new Uint8Array(64).fill(7)
let stack: AsyncDisposableStack
let blobs: Map<Digest, Pick<StoredBlob, 'metainfo' | 'signature' | 'isComplete'>>
let records: ImageRecords
let url: string

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  blobs = new Map()
  const folder = await mkdtemp(join(tmpdir(), 'shoal-peer-api-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const objects = new FilesystemObjectStore({ folder })
  await objects.start()
  records = new ImageRecords({ objects })
  const api = new PeerApi({
    records,
    store: { get: (digest: Digest) => blobs.get(digest) } as unknown as PieceStore,
    log: silent,
  })
  api.reachedAt({ peerId: 'ab'.repeat(20), host: '127.0.0.1', port: 6001, role: 'agent' })
  await api.start()
  stack.defer(() => api.stop())
  const server = createServer((socket) => api.accept(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => void server.close())
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => stack.disposeAsync())

function keep(
  text: string,
  length: number,
  { signature, isComplete = true }: { signature?: Uint8Array; isComplete?: boolean },
) {
  const digest = sha256(text)
  const shape = { length, pieceLength: pieceLengthFor(length) }
  const count = pieceCount(shape)
  const metainfo = {
    digest,
    ...shape,
    piecesSha1: new Uint8Array(count * 20),
    piecesSha256: new Uint8Array(count * 32),
  }
  blobs.set(digest, { metainfo, signature, isComplete, have: new Bitfield(count) } as never)
  return digest
}

async function ask(question: Record<string, string>) {
  const answer = await fetch(
    `${url}/api/v1/resolve?${new URLSearchParams({ repository: 'team/app', ...question })}`,
  )
  const bytes = new Uint8Array(await answer.arrayBuffer())
  return { bytes, resolution: decodeResolution(bytes) }
}

it('passes on the seeder’s signature of metainfo, and nothing of a part that nobody signed', async () => {
  const signed = keep('signed', 7, { signature: SIGNATURE, isComplete: false })
  const whole = keep('whole, from before there were signatures', 7, {})
  const hearsay = keep('hearsay', 7, { isComplete: false })
  const of = async (blob: Digest) => (await ask({ blob })).resolution.blobs
  expect(Buffer.from((await of(signed))[0]!.signature!).equals(SIGNATURE)).toBe(true)
  expect(await of(whole)).toHaveLength(1)
  expect(await of(hearsay)).toEqual([])
})

it('leaves out what would make an answer longer than anybody takes', async () => {
  const GIB = 1024 ** 3
  // 3.3 MiB of hashes each.
  const digests = [1, 2, 3].map((n) => keep(`layer ${n}`, 256 * GIB, { signature: SIGNATURE }))
  const document = {
    schemaVersion: 2,
    config: {
      mediaType: `${OCI}.config.v1+json`,
      digest: keep('config', 6, { signature: SIGNATURE }),
      size: 6,
    },
    layers: digests.map((digest) => ({ mediaType: `${OCI}.layer.v1.tar`, digest, size: 256 * GIB })),
  }
  const bytes = Buffer.from(JSON.stringify(document))
  const manifest = { digest: sha256(bytes), mediaType: `${OCI}.manifest.v1+json`, bytes }
  await records.keepManifest('team/app', manifest)
  const { bytes: sent, resolution } = await ask({ reference: manifest.digest })
  expect(sent.length).toBeLessThanOrEqual(CONTACT_ANSWER_BYTES_MAX)
  expect(resolution.blobs).toHaveLength(2)
  const alone = await ask({ blob: digests[2]! })
  expect(alone.resolution.blobs).toHaveLength(1)
  expect(alone.bytes.length).toBeLessThanOrEqual(CONTACT_ANSWER_BYTES_MAX)
})
