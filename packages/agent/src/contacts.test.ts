/**
 * Goal: what an agent remembers of genuine signatures is bounded; the latest ones cost no second check.
 * Method: a key of the test's, and a count of the checks that are made.
 */
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { parseDigest } from '@shoal/core'
import { metainfoRecordBytes } from '@shoal/wire'
import { pino } from 'pino'
import { beforeEach, expect, it, vi } from 'vitest'
import { Contacts } from './contacts.ts'
import type { ImageRecords } from './image-records.ts'

const REMEMBERED_MAX = 4_096

const verify = vi.hoisted(() => vi.fn())
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>()
  return { ...crypto, verify: verify.mockImplementation(crypto.verify) }
})

const digest = parseDigest(`sha256:${'1'.repeat(64)}`)
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
let contacts: Contacts
beforeEach(() => {
  const records: Pick<ImageRecords, 'write'> = { write: async () => {} }
  contacts = new Contacts({ records: records as ImageRecords, log: pino({ level: 'silent' }) })
  contacts.trust(publicKey.export({ type: 'spki', format: 'der' }))
  verify.mockClear()
})

/** @returns whether the `n`th blob's metainfo is genuine, and whether its signature had to be checked for that */
function shown(n: number): { isGenuine: boolean; isChecked: boolean } {
  const infoSha256 = createHash('sha256').update(`${n}`).digest('hex')
  const signature = signatureOf(n, infoSha256)
  const checksBefore = verify.mock.calls.length
  const isGenuine = contacts.isGenuineMetainfo(digest, infoSha256, signature)
  return { isGenuine, isChecked: verify.mock.calls.length > checksBefore }
}
const signatures = new Map<number, Uint8Array>()
function signatureOf(n: number, infoSha256: string): Uint8Array {
  const signature = signatures.get(n) ?? sign(null, metainfoRecordBytes(digest, infoSha256), privateKey)
  signatures.set(n, signature)
  return signature
}

it('remembers the latest 4,096 genuine signatures, and no more', () => {
  for (let n = 0; n < REMEMBERED_MAX; n++) expect(shown(n)).toEqual({ isGenuine: true, isChecked: true })
  expect(shown(0)).toEqual({ isGenuine: true, isChecked: false })
  // One more, and the first is forgotten: it is as genuine as before, and has to be checked again.
  expect(shown(REMEMBERED_MAX).isChecked).toBe(true)
  expect(shown(1)).toEqual({ isGenuine: true, isChecked: false })
  expect(shown(0)).toEqual({ isGenuine: true, isChecked: true })
})
