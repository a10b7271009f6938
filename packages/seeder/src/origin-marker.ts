/**
 * Which origin this is: an object in the origin, and a note of it in `data`. A volume that is not mounted, or a bucket that was
 * emptied, looks like an origin that was never used; the note tells them apart.
 */
import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ObjectStore, readWhole } from '@shoal/storage'
import type { Logger } from 'pino'
import { OriginLostError } from './errors.ts'
import { SIGNING_KEY } from './signer.ts'

export const MARKER = 'origin'
const MARKER_BYTES_MAX = 4_096
/** In `data`. */
const NOTE = 'origin.json'

export interface OpenedOrigin {
  /** Undefined where none could be written, in a bucket that is full say. */
  readonly id: string | undefined
  /** Nothing had ever been kept there. */
  readonly isFresh: boolean
}

/**
 * To be asked before anything is made in the origin, and before the store is started.
 * @throws OriginLostError when there was an origin at this place and now there is none; one that is set to another place may begin
 */
export async function expectOrigin(objects: ObjectStore, data: string): Promise<void> {
  const noted = await readNote(data)
  if (noted === undefined || noted.description !== objects.description) return
  if ((await readMarker(objects)) !== undefined || (await objects.stat(SIGNING_KEY)) !== undefined) return
  throw new OriginLostError(objects.description, join(data, NOTE))
}

/** Marks an origin that has no mark, and takes a note of it. */
export async function markOrigin(
  objects: ObjectStore,
  data: string,
  { log, nowMs }: { log: Logger; nowMs: () => number },
): Promise<OpenedOrigin> {
  const noted = await readNote(data)
  let id = await readMarker(objects)
  const isFresh = id === undefined && (await objects.stat(SIGNING_KEY)) === undefined
  if (id === undefined) {
    const fresh = noted?.description === objects.description ? noted.id : randomUUID()
    try {
      const line = `${JSON.stringify({ id: fresh, createdAtMs: nowMs() })}\n`
      const outcome = await objects.put(MARKER, Buffer.from(line), { ifAbsent: true })
      id = outcome.kind === 'stored' ? fresh : await readMarker(objects)
    } catch (err) {
      // A full origin is no reason not to start: its images are there.
      if (isFresh) throw err
      log.warn(
        { event: 'origin-not-marked', err },
        'the origin could not be marked; it is tried at the next start',
      )
    }
  }
  if (isFresh) log.info({ event: 'origin-made', origin: objects.description }, 'a new origin was made')
  if (noted !== undefined && id !== undefined && noted.id !== id)
    log.warn(
      { event: 'origin-changed', origin: objects.description, before: noted.description },
      'this is another origin than at the last start',
    )
  if (id !== undefined && (noted?.id !== id || noted.description !== objects.description))
    await writeNote(data, { id, description: objects.description }).catch((err: unknown) =>
      log.warn({ event: 'origin-not-noted', err }, 'which origin this is could not be noted in `data`'),
    )
  return { id, isFresh }
}

/** @returns undefined when there is no mark */
export async function readMarker(objects: ObjectStore, signal?: AbortSignal): Promise<string | undefined> {
  const object = await objects.read(MARKER, signal === undefined ? {} : { signal })
  if (object === undefined) return undefined
  return idIn(Buffer.from(await readWhole(MARKER, object, MARKER_BYTES_MAX)).toString()) ?? ''
}

interface Note {
  readonly id: string
  readonly description: string
}

async function readNote(data: string): Promise<Note | undefined> {
  let text: string
  try {
    text = await readFile(join(data, NOTE), 'utf8')
  } catch {
    // Written also where `data` was lost, which is allowed to happen.
    return undefined
  }
  const id = idIn(text)
  if (id === undefined) return undefined
  const { description } = JSON.parse(text) as { description?: unknown }
  return { id, description: typeof description === 'string' ? description : 'an origin' }
}

async function writeNote(data: string, note: Note): Promise<void> {
  await writeFile(join(data, NOTE), `${JSON.stringify(note)}\n`, { mode: 0o600 })
}

function idIn(text: string): string | undefined {
  try {
    const { id } = JSON.parse(text) as { id?: unknown }
    return typeof id === 'string' && id !== '' ? id : undefined
  } catch {
    return undefined
  }
}
