/** Goal: agents can tell what the seeder has said of tags and of metainfo. Method: a real folder as the origin. */
import { createHash, createPublicKey, verify } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseDigest } from '@shoal/core'
import { FilesystemObjectStore } from '@shoal/storage'
import { metainfoRecordBytes, tagRecordBytes } from '@shoal/wire'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Signer } from './signer.ts'

let folder: string
let objects: FilesystemObjectStore
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-signer-'))
  objects = new FilesystemObjectStore({ folder })
  await objects.start()
})
afterEach(() => rm(folder, { recursive: true }))

const digest = parseDigest(`sha256:${'1'.repeat(64)}`)
const keyOf = ({ publicKey }: Signer) =>
  createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' })

it('signs alike from every seeder of one origin, also when they start together', async () => {
  const signers = await Promise.all(Array.from({ length: 4 }, () => Signer.open(objects)))
  const later = await Signer.open(objects)
  for (const signer of signers) expect(Buffer.from(signer.publicKey).equals(later.publicKey)).toBe(true)

  const record = { repository: 'a/b', tag: '1', digest, issuedAtMs: 5 }
  const { signature } = signers[0]!.signTag(record)
  expect(verify(null, tagRecordBytes(record), keyOf(later), signature)).toBe(true)
  expect(verify(null, tagRecordBytes({ ...record, tag: '2' }), keyOf(later), signature)).toBe(false)
})

it('signs a blob’s metainfo once, and no other by the same signature', async () => {
  const signer = await Signer.open(objects)
  const info = Buffer.from('an info dictionary')
  const infoHash = 'ab'.repeat(20)
  const signature = signer.signMetainfo(digest, infoHash, info)
  expect(signer.signMetainfo(digest, infoHash, info)).toBe(signature)
  const isOf = (bytes: Buffer) =>
    verify(
      null,
      metainfoRecordBytes(digest, createHash('sha256').update(bytes).digest('hex')),
      keyOf(signer),
      signature,
    )
  expect(isOf(info)).toBe(true)
  expect(isOf(Buffer.from('another'))).toBe(false)
})

it('keeps the latest 8,192 signatures, and makes the others again', async () => {
  const signer = await Signer.open(objects)
  const info = Buffer.from('an info dictionary')
  const infoHash = (n: number) => n.toString(16).padStart(40, '0')
  const first = signer.signMetainfo(digest, infoHash(0), info)
  for (let n = 1; n < 8_192; n++) signer.signMetainfo(digest, infoHash(n), info)
  expect(signer.signMetainfo(digest, infoHash(0), info)).toBe(first)
  const last = signer.signMetainfo(digest, infoHash(8_192), info)
  expect(signer.signMetainfo(digest, infoHash(8_192), info)).toBe(last)
  const again = signer.signMetainfo(digest, infoHash(0), info)
  expect(again).not.toBe(first)
  expect(again).toEqual(first)
})
