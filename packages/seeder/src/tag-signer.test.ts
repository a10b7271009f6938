import { createPublicKey, verify } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseDigest } from '@shoal/core'
import { FilesystemObjectStore } from '@shoal/storage'
import { tagRecordBytes } from '@shoal/wire'
import { expect, it } from 'vitest'
import { TagSigner } from './tag-signer.ts'

it('signs alike from every seeder of one origin, also when they start together', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-signer-'))
  const objects = new FilesystemObjectStore({ folder })
  await objects.start()
  const signers = await Promise.all(Array.from({ length: 4 }, () => TagSigner.open(objects)))
  const later = await TagSigner.open(objects)
  for (const signer of signers) expect(Buffer.from(signer.publicKey).equals(later.publicKey)).toBe(true)

  const record = {
    repository: 'a/b',
    tag: '1',
    digest: parseDigest(`sha256:${'1'.repeat(64)}`),
    issuedAtMs: 5,
  }
  const { signature } = signers[0]!.sign(record)
  const key = createPublicKey({ key: Buffer.from(later.publicKey), format: 'der', type: 'spki' })
  expect(verify(null, tagRecordBytes(record), key, signature)).toBe(true)
  expect(verify(null, tagRecordBytes({ ...record, tag: '2' }), key, signature)).toBe(false)
  await rm(folder, { recursive: true })
})
