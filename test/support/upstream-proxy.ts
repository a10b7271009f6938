/**
 * Stands before a registry, counts what is asked of it, and misbehaves on demand: away, slow, cut in the middle of a body, or
 * with other bytes than those of the digest.
 */
import { request as ask, createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface AskedOf {
  readonly method: string
  readonly path: string
}

export type Misbehaviour =
  | 'none'
  /** Connections are cut before an answer. */
  | 'away'
  /** Every body ends after this many bytes, once for each path. */
  | { readonly cutAfterBytes: number }
  /** The first byte of every blob is another. */
  | 'wrong-bytes'
  | {
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }

export interface UpstreamProxy extends AsyncDisposable {
  readonly url: string
  /** `127.0.0.1:PORT` */
  readonly host: string
  readonly asked: readonly AskedOf[]
  misbehaviour: Misbehaviour
  /** Lets so many bytes of a blob through, and holds the rest back until `go` is called. */
  haltBlobsAfter(bytes: number): { readonly reached: Promise<void>; go(): void }
  /** Resolves when a blob was asked for; its answer is held back until `go` is called. */
  holdBlobs(): { readonly asked: Promise<void>; go(): void }
}

export async function startUpstreamProxy(target: string): Promise<UpstreamProxy> {
  const asked: AskedOf[] = []
  const cut = new Set<string>()
  let hold: { asked: () => void; gone: Promise<void> } | undefined
  let halt: { afterBytes: number; reached: () => void; gone: Promise<void> } | undefined
  const server: Server = createServer(async (request, response) => {
    const path = request.url ?? ''
    asked.push({ method: request.method ?? '', path })
    const { misbehaviour } = proxy
    if (misbehaviour === 'away') return void request.socket.destroy()
    if (typeof misbehaviour === 'object' && 'status' in misbehaviour)
      return void response.writeHead(misbehaviour.status, { ...misbehaviour.headers }).end(misbehaviour.body)
    const isBlob = /\/blobs\/sha/.test(path)
    if (isBlob && hold !== undefined) {
      hold.asked()
      await hold.gone
    }
    const passed = ask(
      new URL(path, target),
      { method: request.method, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        let sent = 0
        answer.on('data', (chunk: Buffer) => {
          if (misbehaviour === 'wrong-bytes' && isBlob && sent === 0) chunk[0] = chunk[0]! ^ 0xff
          sent += chunk.length
          response.write(chunk)
          if (isBlob && halt !== undefined && sent >= halt.afterBytes) {
            answer.pause()
            halt.reached()
            void halt.gone.then(() => answer.resume())
          }
          const isCut = typeof misbehaviour === 'object' && 'cutAfterBytes' in misbehaviour && isBlob
          if (isCut && sent > misbehaviour.cutAfterBytes && !cut.has(path)) {
            cut.add(path)
            request.socket.destroy()
            answer.destroy()
          }
        })
        answer.on('end', () => response.end())
      },
    )
    passed.on('error', () => request.socket.destroy())
    request.pipe(passed)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const proxy: UpstreamProxy = {
    url: `http://${host}`,
    host,
    asked,
    misbehaviour: 'none',
    haltBlobsAfter(bytes) {
      const reached = Promise.withResolvers<void>()
      const gone = Promise.withResolvers<void>()
      halt = { afterBytes: bytes, reached: reached.resolve, gone: gone.promise }
      return {
        reached: reached.promise,
        go() {
          halt = undefined
          gone.resolve()
        },
      }
    },
    holdBlobs() {
      const first = Promise.withResolvers<void>()
      const gone = Promise.withResolvers<void>()
      hold = { asked: first.resolve, gone: gone.promise }
      return {
        asked: first.promise,
        go() {
          hold = undefined
          gone.resolve()
        },
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return proxy
}
