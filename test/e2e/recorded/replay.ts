/**
 * Plays a recording against a registry on this machine and checks every answer, byte by byte: by what the recording expects,
 * and by what no client may ever see.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import { type AnswerHead, RawConnection } from './raw-connection.ts'
import type { ExpectedAnswer, RecordedRequest, Recording, Span } from './recording.ts'

/** For a miss, so that clients turn elsewhere, and for all that is no blob. */
const ANSWER_WITHIN_MS = 3_000
/** Enough for a request to be read and to be waiting, too little for it to be answered from afar. */
const ASKED_MS = 20

export async function replay({ client, steps }: Recording, port: number): Promise<void> {
  const idle: RawConnection[] = []
  try {
    for (const step of steps) {
      const connections = await Promise.all(step.map(() => idle.pop() ?? RawConnection.open(port)))
      await Promise.all(
        step.map(async (request, i) => {
          const connection = connections[i]!
          await exchange(connection, request, { client, port })
          if (request.afterwards === 'close') connection.cut()
          else idle.push(connection)
        }),
      )
    }
  } finally {
    for (const connection of idle) connection.cut()
  }
}

async function exchange(
  connection: RawConnection,
  request: RecordedRequest,
  { client, port }: { client: string; port: number },
): Promise<void> {
  const { method, path, headers, expect: expected } = request
  const what = `${client}: ${method} ${path}${headers.flatMap(([name, value]) => (name === 'Range' ? ` ${value.slice(0, 60)}` : []))}`
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    ...headers.map((pair) => pair.join(': ')),
  ]
  const sentAtMs = performance.now()
  connection.send(`${lines.join('\r\n')}\r\n\r\n`)
  if (request.reads === 'nothing') {
    await delay(ASKED_MS)
    return
  }
  const head = await connection.head()
  const tookMs = performance.now() - sentAtMs
  expect({ what, status: head.status }).toEqual({ what, status: expected.status })
  checkHead(head, what)
  if (method === 'HEAD' || head.status === 404 || !path.includes('/blobs/'))
    expect(tookMs, `${what} took too long`).toBeLessThan(ANSWER_WITHIN_MS)
  for (const [name, value] of Object.entries(expected.headers ?? {})) {
    if (typeof value === 'string') expect(head.headers.get(name), `${what}: ${name}`).toBe(value)
    else expect(head.headers.get(name), `${what}: ${name}`).toMatch(value)
  }
  const length = Number(head.headers.get('content-length'))
  if (expected.body !== undefined && expected.parts === undefined)
    expect(length, `${what}: content-length`).toBe(expected.body.length)
  if (method === 'GET') await checkBody(connection, { ...expected, reads: request.reads }, head, what)
  const asksToClose = headers.some(([name, value]) => name === 'Connection' && value === 'close')
  if (asksToClose && request.reads === undefined)
    expect(await connection.isEnded(), `${what}: is left open`).toBe(true)
}

/** What no client may see, whatever it asked. */
function checkHead({ status, headers }: AnswerHead, what: string): void {
  // A compressed body has another length and no ranges; a challenge or a "later" sends credentials and clients astray.
  for (const name of ['content-encoding', 'transfer-encoding', 'www-authenticate', 'location', 'retry-after'])
    expect(headers.get(name), `${what}: ${name}`).toBeUndefined()
  expect([401, 403, 408, 429], what).not.toContain(status)
  // An error on HEAD has no body to tell the length of.
  if (status < 300) expect(headers.get('content-length'), `${what}: content-length`).toMatch(/^[0-9]+$/)
}

async function checkBody(
  connection: RawConnection,
  { reads, body, parts }: ExpectedAnswer & { reads: number | undefined },
  { headers }: AnswerHead,
  what: string,
): Promise<void> {
  const received = await connection.bytes(reads ?? Number(headers.get('content-length')))
  if (body === undefined) return
  if (parts !== undefined) return checkParts(received, body, parts, headers.get('content-type') ?? '', what)
  expect(Buffer.compare(received, body.subarray(0, received.length)), `${what}: other bytes`).toBe(0)
}

/** RFC 9110, 14.6 */
function checkParts(
  received: Buffer,
  blob: Uint8Array,
  spans: readonly Span[],
  type: string,
  what: string,
): void {
  const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(type)?.[1]
  expect(boundary, `${what}: ${type}`).toBeDefined()
  const delimiter = `--${boundary}\r\n`
  let at = received.indexOf(delimiter)
  for (const { start, end } of spans) {
    expect(received.subarray(at, at + delimiter.length).toString('latin1'), what).toBe(delimiter)
    const bodyAt = received.indexOf('\r\n\r\n', at) + 4
    const head = received.subarray(at, bodyAt).toString('latin1')
    expect(head, what).toContain(`Content-Range: bytes ${start}-${end - 1}/${blob.length}\r\n`)
    const bodyEnd = bodyAt + end - start
    expect(
      Buffer.compare(received.subarray(bodyAt, bodyEnd), blob.subarray(start, end)),
      `${what}: ${head}`,
    ).toBe(0)
    at = bodyEnd + 2
  }
  expect(received.subarray(at).toString('latin1'), `${what}: the end`).toBe(`--${boundary}--\r\n`)
}
