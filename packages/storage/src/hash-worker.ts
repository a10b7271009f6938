/**
 * The thread that hashes. Takes jobs in the order in which they come; memory is shared with whoever asks, nothing is copied.
 * Runs from its source as well as compiled: no imports of Shoal's, no syntax that needs a compiler.
 */

import { createHash, type Hash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { HashingFailedError } from './errors.ts'

export type HashJob =
  /** Memory that jobs speak of by `buffer` from now on. */
  | { kind: 'share'; id: number; buffer: number; memory: SharedArrayBuffer }
  | { kind: 'sha256'; id: number; parts: readonly SharedPart[] }
  /** Hashes the bytes of a file from where the last job of the same `file` ended up to `end`. */
  | { kind: 'file'; id: number; file: number; path: string; algorithm: string; end: number }
  /** Answered by the digest of all that was hashed of the file. */
  | { kind: 'file-end'; id: number; file: number }
  | { kind: 'file-forget'; id: number; file: number }

/** A part of shared memory: handing the memory itself over with every job would make the collector count it every time. */
export type SharedPart = { buffer: number; offset: number; length: number }

export type HashAnswer = { id: number; digest?: Uint8Array; error?: string }

const READ_BYTES = 256 * 1024

const files = new Map<number, { hash: Hash; handle: number; offset: number }>()
const shared = new Map<number, SharedArrayBuffer>()
const buffer = Buffer.alloc(READ_BYTES)

parentPort!.on('message', (job: HashJob) => {
  try {
    const digest = perform(job)
    parentPort!.postMessage(digest === undefined ? { id: job.id } : { id: job.id, digest })
  } catch (error) {
    parentPort!.postMessage({ id: job.id, error: String(error) })
  }
})

function perform(job: HashJob): Uint8Array | undefined {
  switch (job.kind) {
    case 'sha256': {
      const whole = createHash('sha256')
      for (const { buffer, offset, length } of job.parts)
        whole.update(new Uint8Array(shared.get(buffer)!, offset, length))
      return whole.digest()
    }
    case 'share':
      shared.set(job.buffer, job.memory)
      return undefined
    case 'file': {
      let file = files.get(job.file)
      if (file === undefined) {
        file = { hash: createHash(job.algorithm), handle: openSync(job.path, 'r'), offset: 0 }
        files.set(job.file, file)
      }
      while (file.offset < job.end) {
        const count = readSync(
          file.handle,
          buffer,
          0,
          Math.min(READ_BYTES, job.end - file.offset),
          file.offset,
        )
        if (count === 0) throw new HashingFailedError('the file is shorter than the blob')
        file.hash.update(buffer.subarray(0, count))
        file.offset += count
      }
      return undefined
    }
    case 'file-end': {
      const file = files.get(job.file)
      forget(job.file)
      return file?.hash.digest()
    }
    case 'file-forget':
      forget(job.file)
      return undefined
  }
}

function forget(id: number): void {
  const file = files.get(id)
  files.delete(id)
  if (file !== undefined) closeSync(file.handle)
}
