/**
 * Bodies of the answers that a service gets when it asks others. undici gives a body that is destroyed before its end an error,
 * also where it was given up on purpose; an error that nobody listens for ends the process.
 */
import type { Readable } from 'node:stream'

/** More of a body that nobody wants than this is not worth keeping a connection for. */
const DISCARD_BYTES_MAX = 64 * 1024
const DISCARD_MS_MAX = 2_000

interface Answer {
  readonly body: Readable & { dump(options: { limit: number; signal: AbortSignal }): Promise<void> }
}

/** To be called with every answer before anybody else sees it: whoever reads the body hears of its errors all the same. */
export function heard<T extends Answer>(answer: T): T {
  answer.body.on('error', () => {})
  return answer
}

/** Gives up a body that nobody reads: a short one is read to its end, the connection of a long one is closed. Never rejects. */
export async function discardAnswer({ body }: Answer, signal?: AbortSignal): Promise<void> {
  const deadline = AbortSignal.timeout(DISCARD_MS_MAX)
  try {
    await body.dump({
      limit: DISCARD_BYTES_MAX,
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    })
  } catch {
    // It is gone, which is all that was wanted.
    body.destroy()
  }
}
