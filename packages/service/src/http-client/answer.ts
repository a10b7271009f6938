/**
 * Answers of servers that were asked, and what becomes of their bodies. A body that ends before its end has an error, also where
 * it was given up on purpose; whoever reads it hears of that, and where nobody does, nothing ends by it.
 */
import type { IncomingMessage } from 'node:http'

export interface HttpAnswer {
  readonly status: number
  /** The first occurrence of a header; its name in lower case. */
  readonly header: (name: string) => string | undefined
  /** Every occurrence. */
  readonly headers: (name: string) => readonly string[]
  /** Must be read to its end, or given up with `discardAnswer`: until then it holds a connection. */
  readonly body: IncomingMessage
}

/** More of a body that nobody wants than this is not worth keeping a connection for. */
const DISCARD_BYTES_MAX = 64 * 1024
const DISCARD_MS_MAX = 2_000

/** To be called with every answer before anybody else sees it. */
export function answerOf(body: IncomingMessage): HttpAnswer {
  body.on('error', () => {})
  const headers = (name: string) => body.headersDistinct[name] ?? []
  return { status: body.statusCode ?? 0, headers, header: (name) => headers(name)[0], body }
}

/** Gives up a body that nobody reads: a short one is read to its end, the connection of a long one is closed. Never rejects. */
export async function discardAnswer({ body, header }: Pick<HttpAnswer, 'body' | 'header'>): Promise<void> {
  const isLong = Number(header('content-length') ?? 0) > DISCARD_BYTES_MAX && !body.complete
  if (isLong) body.destroy()
  const timer = setTimeout(() => body.destroy(), DISCARD_MS_MAX)
  try {
    let bytes = 0
    for await (const part of body) {
      bytes += part.length
      // Leaving the loop closes the connection.
      if (bytes > DISCARD_BYTES_MAX) break
    }
  } catch {
    // It is gone, which is all that was wanted.
  } finally {
    clearTimeout(timer)
  }
}

/** @returns undefined when the body is, or says that it is, longer than `bytesMax`, of which no more is read */
export async function readShortBody(answer: HttpAnswer, bytesMax: number): Promise<Buffer | undefined> {
  if (Number(answer.header('content-length') ?? 0) > bytesMax) {
    await discardAnswer(answer)
    return undefined
  }
  const parts: Buffer[] = []
  let length = 0
  for await (const part of answer.body as AsyncIterable<Buffer>) {
    length += part.length
    if (length > bytesMax) return undefined
    parts.push(part)
  }
  return Buffer.concat(parts, length)
}
