/** An image directory over a real folder, whose seeder and contacts say what the test has them say. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, encodeInfo } from '@shoal/core'
import { FilesystemObjectStore } from '@shoal/storage'
import {
  metainfoRecordBytes,
  type Resolution,
  type ResolvedBlob,
  type SignedTag,
  type TagRecord,
  tagRecordBytes,
} from '@shoal/wire'
import { pino } from 'pino'
import { expect } from 'vitest'
import type { ArrivalNews } from '../arrival-news.ts'
import { Contacts } from '../contacts.ts'
import { SourceUnavailableError } from '../errors.ts'
import { ImageDirectory } from '../image-directory.ts'
import { ImageRecords } from '../image-records.ts'
import type { KnownBlob } from '../known-blob.ts'
import type { ResolveQuestion, SeederClient } from '../seeder-client.ts'
import { UNKNOWN_HEALTH } from '../seeder-health.ts'

export const SEEDER = 'http://seeder:7000'
export const TTL_MS = 1_000
/** Of every blob that an answer tells of. */
export const BLOB_LENGTH = 7
export const silent = pino({ level: 'silent' })
/** The seeder's, which the contacts' answers are held against. */
const keys = generateKeyPairSync('ed25519')

/** `silent`: nothing comes at all; `away`: a refusal. */
export type Answer = Resolution | undefined | 'away' | 'silent'

export interface TestDirectory extends AsyncDisposable {
  readonly directory: ImageDirectory
  readonly contacts: Contacts
  readonly folder: string
}

export async function openTestDirectory(init: {
  readonly answer: (baseUrl: string, question: ResolveQuestion) => Answer | Promise<Answer>
  readonly nowMs: () => number
  readonly onWanted: (sources: readonly KnownBlob[]) => void
  /** Where absent, of a seeder that tells nothing. */
  readonly arrivalNews?: Pick<ArrivalNews, 'isTold' | 'next'>
  readonly onLost?: (digest: Digest) => void
  /** Of every blob unless told. */
  readonly isWhole?: (digest: Digest) => boolean
  /** Whether the seeder gives signs of life; it does unless told. */
  readonly isSeederThere?: () => boolean
}): Promise<TestDirectory> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-directory-'))
  const objects = new FilesystemObjectStore({ folder })
  await objects.start()
  const records = new ImageRecords({ objects })
  const contacts = new Contacts({ records, log: silent })
  contacts.trust(keys.publicKey.export({ type: 'spki', format: 'der' }))
  const client: Pick<SeederClient, 'resolve'> = {
    async resolve(baseUrl, question) {
      const answer = await init.answer(baseUrl, question)
      if (answer === 'away' || answer === 'silent')
        throw new SourceUnavailableError(baseUrl, answer, { isUnanswered: answer === 'silent' })
      return answer
    },
  }
  const { isSeederThere = () => true, isWhole = () => true } = init
  const directory = new ImageDirectory(
    {
      client: client as SeederClient,
      http: { bytes: () => expect.unreachable('no origin is asked') },
      seeder: {
        ask: (question) => question(new AbortController().signal),
        confirm: async () => isSeederThere(),
        health: UNKNOWN_HEALTH,
        get problem() {
          return isSeederThere() ? undefined : 'the seeder at http://seeder:7000 cannot be reached: away'
        },
      },
      records,
      contacts,
      log: silent,
      nowMs: init.nowMs,
      onWanted: init.onWanted,
      onTold: () => {},
      isHere: () => false,
      isWhole,
      isFlowing: () => false,
      canKeep: () => true,
      onArriving: () => {},
      arrivalNews: init.arrivalNews ?? { isTold: false, next: async () => {} },
      onLost: init.onLost ?? (() => {}),
    },
    {
      seederUrl: SEEDER,
      peerId: 'ab'.repeat(20),
      platform: { os: 'linux', architecture: 'amd64' },
      tagTtlMs: TTL_MS,
    },
  )
  return {
    directory,
    contacts,
    folder,
    async [Symbol.asyncDispose]() {
      await contacts.stop()
      await rm(folder, { recursive: true })
    },
  }
}

/** @param key a stranger's, where it is not to be the seeder's */
export function signedTag(record: TagRecord, key: KeyObject = keys.privateKey): SignedTag {
  return { record, signature: sign(null, tagRecordBytes(record), key) }
}

/** @param key a stranger's, where it is not to be the seeder's */
export function resolvedBlob(digest: Digest, key: KeyObject = keys.privateKey): ResolvedBlob {
  const info = encodeInfo({
    digest,
    length: BLOB_LENGTH,
    pieceLength: 65_536,
    piecesSha1: new Uint8Array(20),
    piecesSha256: new Uint8Array(32),
  })
  const infoSha256 = createHash('sha256').update(info).digest('hex')
  return { info, signature: sign(null, metainfoRecordBytes(digest, infoSha256), key), peers: [] }
}
