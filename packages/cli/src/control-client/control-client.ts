/** Asks a seeder's control API: one POST a question, its token shown to nobody else, every wait bounded. */
import {
  discardAnswer,
  type HttpAnswer,
  HttpClient,
  isTransportFailure,
  readShortBody,
  transportReason,
} from '@shoal/service'
import {
  CONTROL_BODY_BYTES_MAX,
  type ControlMessageInvalidError,
  decodeControlRefusal,
  decodeGarbageReport,
  decodePublishAccepted,
  decodePublishLine,
  decodeScrubLine,
  GARBAGE_PATH,
  type GarbageReport,
  PUBLISH_LINE_BYTES_MAX,
  PUBLISH_LINES_MEDIA_TYPE,
  PUBLISH_PATH,
  type PublishLine,
  type PublishRequest,
  SCRUB_PATH,
  type ScrubLine,
} from '@shoal/wire'
import {
  LineTooLongError,
  PublishCutError,
  SeederAnswerError,
  SeederRefusedError,
  SeederSilentError,
  SeederUnreachableError,
} from './errors.ts'
import { LineSplitter } from './lines.ts'
import { printable } from './printable.ts'

export interface ControlTarget {
  readonly client: HttpClient
  /** `https://host:port`, with a path where the seeder is behind one. */
  readonly seederUrl: string
  readonly token: string
  readonly signal: AbortSignal
  /** How long the seeder may say nothing. */
  readonly silentMsMax: number
}

/** A seeder that works says so twice a minute at least. */
export const SILENT_MS_MAX = 60_000
/** It says nothing before it has looked at everything in the origin, and a large bucket takes its time. */
export const GARBAGE_SILENT_MS_MAX = 60 * 60_000
const CONNECT_TIMEOUT_MS = 10_000
const REFUSAL_SHOWN_MAX = 500

/** Silence is measured here, by lines and not by bytes: `silentMsMax`. */
export function openControlConnections(): HttpClient {
  return new HttpClient({ connectTimeoutMs: CONNECT_TIMEOUT_MS, headersTimeoutMs: 0, bodyIdleTimeoutMs: 0 })
}

/** @throws ControlClientError, or the signal's reason */
export function collectGarbage(
  target: ControlTarget,
  { isDryRun, untaggedForMs }: { readonly isDryRun: boolean; readonly untaggedForMs?: number },
): Promise<GarbageReport> {
  const untagged = untaggedForMs === undefined ? '' : `&untaggedForMs=${untaggedForMs}`
  const url = urlOf(target, `${GARBAGE_PATH}?dryRun=${isDryRun}${untagged}`)
  return ask(target, url, async (silence) => {
    const answer = await post(target, url, 200, silence)
    const report = decode(url, decodeGarbageReport, await textOf(url, answer))
    if (untaggedForMs !== undefined && report.untagged === undefined)
      throw new SeederAnswerError(
        url,
        'this seeder does not know of untagged manifests; it is of an older version',
      )
    if (report.isDryRun === isDryRun) return report
    const [reported, asked] = isDryRun
      ? ['a run that removes', 'a dry one']
      : ['a dry run', 'one that removes']
    throw new SeederAnswerError(url, `${reported} was reported, and ${asked} was asked for`)
  })
}

/**
 * For those who do not wait.
 * @returns the references that the seeder will work upon, whatever happens to it
 * @throws ControlClientError, or the signal's reason
 */
export function requestPublish(
  target: ControlTarget,
  wanted: Omit<PublishRequest, 'wait'>,
): Promise<readonly string[]> {
  const url = urlOf(target, PUBLISH_PATH)
  return ask(target, url, async (silence) => {
    const answer = await post(target, url, 202, silence, { ...wanted, wait: false })
    return decode(url, decodePublishAccepted, await textOf(url, answer)).accepted
  })
}

export type PublishEnd = Extract<PublishLine, { type: 'end' }>

/**
 * @param onLine told all that happens, as it happens, but for the end
 * @throws ControlClientError, or the signal's reason
 */
export function followPublish(
  target: ControlTarget,
  wanted: Omit<PublishRequest, 'wait'>,
  onLine: (line: Exclude<PublishLine, PublishEnd>) => void,
): Promise<PublishEnd> {
  const url = urlOf(target, PUBLISH_PATH)
  return ask(target, url, async (silence) => {
    const answer = await post(target, url, 200, silence, { ...wanted, wait: true })
    return await untilEnd(url, answer, silence, decodePublishLine, onLine)
  })
}

export type ScrubEnd = Extract<ScrubLine, { type: 'end' }>

/**
 * @param onLine told what is found, as it is found, but for the end
 * @throws ControlClientError, or the signal's reason
 */
export function followScrub(
  target: ControlTarget,
  onLine: (line: Exclude<ScrubLine, ScrubEnd>) => void,
): Promise<ScrubEnd> {
  const url = urlOf(target, SCRUB_PATH)
  return ask(target, url, async (silence) => {
    const answer = await post(target, url, 200, silence)
    return await untilEnd(url, answer, silence, decodeScrubLine, (line) => {
      // The seeder failed after it had begun to answer.
      if (line.type === 'failed') throw new SeederRefusedError(url, 500, line.code, printable(line.message))
      onLine(line)
    })
  })
}

async function untilEnd<Line extends { readonly type: string }>(
  url: string,
  answer: HttpAnswer,
  silence: Silence,
  decodeLine: (text: string) => Line,
  onLine: (line: Exclude<Line, { type: 'end' }>) => void,
): Promise<Extract<Line, { type: 'end' }>> {
  const mediaType = answer.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (mediaType !== PUBLISH_LINES_MEDIA_TYPE) {
    await discardAnswer(answer)
    throw new SeederAnswerError(url, `its type is ${printable(mediaType ?? 'not said')}`)
  }
  const splitter = new LineSplitter({ lineBytesMax: PUBLISH_LINE_BYTES_MAX })
  try {
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      for (const text of splitter.push(chunk)) {
        silence.restart()
        // A seeder that has nothing to say shows with an empty line that it is there.
        if (text.trim() === '') continue
        const line = decode(url, decodeLine, text)
        if (line.type === 'end') return line as Extract<Line, { type: 'end' }>
        onLine(line as Exclude<Line, { type: 'end' }>)
      }
    }
  } catch (error) {
    if (error instanceof LineTooLongError) throw new SeederAnswerError(url, error.message, { cause: error })
    if (!isTransportFailure(error)) throw error
    throw new PublishCutError(url, transportReason(error), { cause: error })
  }
  const where = splitter.heldBytes === 0 ? 'there was no last line' : 'in the middle of a line'
  throw new PublishCutError(url, where)
}

interface Silence {
  readonly signal: AbortSignal
  /** From the beginning again. */
  restart(): void
}

/** Ends with the person's signal or after too long a silence, and says which; other failures are those of the network. */
async function ask<T>(
  target: ControlTarget,
  url: string,
  work: (silence: Silence) => Promise<T>,
): Promise<T> {
  const stop = new AbortController()
  const { seederUrl, signal, silentMsMax } = target
  const timer = setTimeout(() => stop.abort(new SeederSilentError(url, silentMsMax)), silentMsMax)
  try {
    return await work({
      signal: AbortSignal.any([signal, stop.signal]),
      restart: () => timer.refresh(),
    })
  } catch (error) {
    signal.throwIfAborted()
    stop.signal.throwIfAborted()
    if (!isTransportFailure(error)) throw error
    throw new SeederUnreachableError(seederUrl, transportReason(error), { cause: error })
  } finally {
    clearTimeout(timer)
  }
}

/** @throws SeederRefusedError · SeederAnswerError when the status is another than `status` */
async function post(
  { client, token }: ControlTarget,
  url: string,
  status: number,
  { signal }: Silence,
  body?: PublishRequest,
): Promise<HttpAnswer> {
  const answer = await client.request(url, {
    method: 'POST',
    signal,
    headers: {
      authorization: `Bearer ${token}`,
      accept: `application/json, ${PUBLISH_LINES_MEDIA_TYPE}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  if (answer.status === status) return answer
  const text = await textOf(url, answer)
  // What answers in the seeder's place may repeat what it was sent: the token is not printed.
  const withoutToken = (said: string) => printable(said.replaceAll(token, '…')).slice(0, REFUSAL_SHOWN_MAX)
  const refusal = refusalIn(text)
  if (refusal === undefined)
    throw new SeederAnswerError(url, `the status ${answer.status} and ${withoutToken(text) || 'nothing'}`)
  throw new SeederRefusedError(url, answer.status, refusal.code, withoutToken(refusal.message ?? ''))
}

function refusalIn(text: string): ReturnType<typeof decodeControlRefusal> | undefined {
  try {
    return decodeControlRefusal(text)
  } catch {
    return undefined
  }
}

async function textOf(url: string, answer: HttpAnswer): Promise<string> {
  const body = await readShortBody(answer, CONTROL_BODY_BYTES_MAX)
  if (body === undefined)
    throw new SeederAnswerError(url, `it is longer than ${CONTROL_BODY_BYTES_MAX} bytes`)
  return body.toString('utf8')
}

function decode<T>(url: string, decoder: (text: string) => T, text: string): T {
  try {
    return decoder(text)
  } catch (error) {
    throw new SeederAnswerError(url, (error as ControlMessageInvalidError).message, { cause: error })
  }
}

function urlOf({ seederUrl }: ControlTarget, path: string): string {
  return seederUrl.replace(/\/+$/, '') + path
}
