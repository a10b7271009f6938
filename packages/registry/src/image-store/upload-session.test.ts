/** Goal: a blob has an end, however it comes. Method: an upload that another process has brought almost there. */

import { MapObjectStore } from '@shoal/testing/map-object-store'
import { expect, it } from 'vitest'
import type { UploadRecord } from './upload-record.ts'
import { UploadSession } from './upload-session.ts'

const BLOB_BYTES_MAX = 256 * 1024 ** 3

it('a blob has 256 GiB at most: the byte beyond is refused, and nothing of it is written', async () => {
  const record = {
    repository: 'team/app',
    received: BLOB_BYTES_MAX,
    hashed: undefined,
    checkpoint: undefined,
  }
  const init = { id: 'a', contentKey: 'content/a' }
  const objects = new MapObjectStore()
  const upload = UploadSession.resume(objects, init, record as unknown as UploadRecord, 0)
  const append = (bytes: Uint8Array) =>
    upload.append(
      (async function* () {
        yield bytes
      })(),
      {},
    )
  await append(new Uint8Array())
  await expect(append(Uint8Array.of(1))).rejects.toMatchObject({ code: 'SIZE_INVALID', status: 413 })
  expect(upload.received).toBe(BLOB_BYTES_MAX)
})
