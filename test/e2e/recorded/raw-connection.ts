/**
 * One connection that speaks HTTP/1.1 in bytes: sends a head exactly as written, reads as much of the answer as it is told,
 * under back-pressure, and can be cut at any byte.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface AnswerHead {
  readonly status: number
  /** In lower case; several of one name joined by a comma. */
  readonly headers: ReadonlyMap<string, string>
}

/** Nothing that is tested here may keep a client waiting longer between two bytes. */
const SILENCE_MS = 20_000

class ConnectionEndedError extends Error {
  readonly code = 'TEST_CONNECTION_ENDED'
  constructor(waitedFor: string) {
    super(`the server ended the connection before ${waitedFor}`)
  }
}

export class RawConnection {
  readonly #socket: Socket
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  static async open(port: number): Promise<RawConnection> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new RawConnection(socket)
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#chunks = socket[Symbol.asyncIterator]()
    socket.setTimeout(SILENCE_MS, () => socket.destroy(new Error(`silence for ${SILENCE_MS} ms`)))
  }

  send(bytes: string): void {
    this.#socket.write(bytes)
  }

  /** The head of the next answer. */
  async head(): Promise<AnswerHead> {
    while (!this.#rest.includes('\r\n\r\n')) await this.#more('the end of the head')
    const end = this.#rest.indexOf('\r\n\r\n')
    const [first = '', ...lines] = this.#rest.subarray(0, end).toString('latin1').split('\r\n')
    this.#rest = this.#rest.subarray(end + 4)
    const headers = new Map<string, string>()
    for (const line of lines) {
      const [, name = '', value = ''] = /^([^:]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
      const known = headers.get(name.toLowerCase())
      headers.set(name.toLowerCase(), known === undefined ? value : `${known}, ${value}`)
    }
    return { status: Number(/^HTTP\/1\.1 ([0-9]{3}) /.exec(first)?.[1]), headers }
  }

  /** The next `length` bytes, exactly. */
  async bytes(length: number): Promise<Buffer> {
    const parts: Buffer[] = []
    let missing = length
    while (missing > 0) {
      if (this.#rest.length === 0) await this.#more(`${missing} more bytes of the body`)
      const part = this.#rest.subarray(0, missing)
      this.#rest = this.#rest.subarray(part.length)
      missing -= part.length
      parts.push(part)
    }
    return Buffer.concat(parts)
  }

  /** Whether the server ends the connection now, without another byte. */
  async isEnded(): Promise<boolean> {
    return this.#rest.length === 0 && (await this.#chunks.next()).done === true
  }

  /** At once, whatever is still under way. */
  cut(): void {
    this.#socket.destroy()
  }

  async #more(waitedFor: string): Promise<void> {
    const next = await this.#chunks.next()
    if (next.done === true) throw new ConnectionEndedError(waitedFor)
    this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value])
  }
}
