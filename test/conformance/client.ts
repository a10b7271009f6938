/**
 * One HTTP exchange with a registry, exactly as it is written: paths are not tidied, bodies not decoded. No code of Shoal's
 * own, so that both sides cannot be wrong in the same way.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { getGlobalDispatcher } from 'undici'
import { expect } from 'vitest'

export interface Answer {
  readonly status: number
  readonly bytes: Buffer
  /** Several headers of one name are joined with commas. */
  header(name: string): string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: a test says by its expectations what the document must be
  json(): any
}

export interface CallInit {
  readonly headers?: Readonly<Record<string, string>>
  /** A stream is sent without a length. */
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>
}

/** @param path what stands behind the host, or a `Location`, relative or absolute */
export async function call(
  base: string,
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS',
  path: string,
  { headers = {}, body }: CallInit = {},
): Promise<Answer> {
  const isAbsolute = /^https?:/.test(path)
  const { origin } = new URL(isAbsolute ? path : base)
  const response = await getGlobalDispatcher().request({
    origin,
    path: isAbsolute ? path.slice(origin.length) : path,
    method,
    headers: { ...headers },
    body:
      body === undefined || typeof body === 'string' || body instanceof Uint8Array
        ? (body ?? null)
        : Readable.from(body),
  })
  const bytes = Buffer.from(await response.body.arrayBuffer())
  return {
    status: response.statusCode,
    bytes,
    header: (name) => {
      const value = response.headers[name.toLowerCase()]
      return Array.isArray(value) ? value.join(', ') : value
    },
    json: () => JSON.parse(bytes.toString()),
  }
}

/**
 * Expects a refusal as the specification has it, "Error Codes": JSON, a list of errors, each with a code of capitals and
 * underscores. The first must be `code`.
 */
export function expectRefusal(answer: Answer, status: number, code: string): void {
  const said = answer.bytes.toString()
  expect({ status: answer.status, said }).toMatchObject({ status })
  expect(answer.header('content-type')).toMatch(/^application\/json\b/)
  const { errors } = answer.json()
  expect(Array.isArray(errors), said).toBe(true)
  for (const error of errors) {
    expect(error.code).toMatch(/^[A-Z_]+$/)
    expect(typeof error.message).toBe('string')
  }
  expect(errors[0].code).toBe(code)
}

/** A body whose length nobody is told. */
export async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += 65_536) yield bytes.subarray(offset, offset + 65_536)
}

/** A connection for what no client's library would send, such as half a body. Text is sent at once. */
export async function rawConnection(base: string, text: string): Promise<Socket> {
  const { hostname, port } = new URL(base)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(text)
  return socket
}

/** Collects what comes until the other side closes, or until `isEnough`. */
export async function readRaw(
  socket: Socket,
  isEnough: (text: string) => boolean = () => false,
): Promise<string> {
  let text = ''
  return new Promise((resolve) => {
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1')
      if (isEnough(text)) resolve(text)
    })
    socket.once('close', () => resolve(text))
  })
}
