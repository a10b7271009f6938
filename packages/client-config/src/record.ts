/**
 * What was installed: which files are Shoal's, what they hold, and what was there before. Pure.
 * It is written before the first file is, and again when all are: a file that a run did not come to is still as it was, or
 * as an earlier run left it, and the record knows both.
 */
import { createHash } from 'node:crypto'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { ClientRecordError } from './errors.ts'
import { RUNTIMES } from './wish.ts'

const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const HostPath = Type.String({ pattern: '^/[^\\x00]{1,4000}$' })
const RuntimeName = Type.Enum([...RUNTIMES])

const InstalledFile = Type.Object({
  path: HostPath,
  runtimes: Type.Array(RuntimeName, { minItems: 1, maxItems: RUNTIMES.length }),
  /** Of what was there before, which is kept as `backup/<sha256>`; null: there was no file. */
  before: Type.Union([Sha256, Type.Null()]),
  /** Of what Shoal wrote: more than one only while a run is under way, or when one was killed. */
  ours: Type.Array(Sha256, { minItems: 1, maxItems: 8 }),
  /** Which agent the client was told to ask. */
  agent: Type.String({ minLength: 1, maxLength: 300 }),
  /** What tells that something of Shoal is in it still; none: the whole file is Shoal's. */
  marks: Type.Array(Type.String({ minLength: 1, maxLength: 1_000 }), { maxItems: 4 }),
})

const InstallRecord = Type.Object({
  version: Type.Literal(1),
  /** Whether the folder above the state's own was made for it. */
  madeParent: Type.Boolean(),
  /** Folders that were made for the files, outermost first. */
  folders: Type.Array(HostPath, { maxItems: 2_000 }),
  files: Type.Array(InstalledFile, { maxItems: 2_000 }),
})

export type InstalledFile = Static<typeof InstalledFile>
export type InstallRecord = Static<typeof InstallRecord>

const recordSchema = Compile(InstallRecord)

export function emptyRecord(madeParent: boolean): InstallRecord {
  return { version: 1, madeParent, folders: [], files: [] }
}

export function recordText(record: InstallRecord): Buffer {
  return Buffer.from(`${JSON.stringify(record, null, 2)}\n`)
}

/** @throws ClientRecordError */
export function parseRecord(path: string, content: Uint8Array): InstallRecord {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content))
  } catch (cause) {
    throw new ClientRecordError(path, 'it is not JSON', { cause })
  }
  const { version } = (value ?? {}) as { version?: unknown }
  if (typeof version === 'number' && version !== 1)
    throw new ClientRecordError(
      path,
      `it is of version ${version}, from another release of Shoal; use that one`,
    )
  if (recordSchema.Check(value)) return value
  throw new ClientRecordError(path, 'it is not a record of what was installed')
}

export function sha256Of(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
