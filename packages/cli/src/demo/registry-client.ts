/** The demo as a client of registries: pushes its image, and pulls it as containerd does. Bodies are streamed. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type Dispatcher, request } from 'undici'
import { DemoError } from './errors.ts'
import type { DemoImage } from './image.ts'

/** What clients ask for at a time. */
const BLOBS_AT_ONCE = 3
const IDLE_TIMEOUT_MS = 120_000

export interface ImageAddress {
  /** `http://host:port` */
  readonly registry: string
  readonly repository: string
  readonly tag: string
}

export async function pushImage(to: ImageAddress, image: DemoImage, signal: AbortSignal): Promise<void> {
  const uploads = new URL(`/v2/${to.repository}/blobs/uploads/`, to.registry)
  const push = async (digest: string, bytes: number, body: Dispatcher.DispatchOptions['body']) => {
    const begun = await call(uploads, { method: 'POST', signal }, 202)
    const target = new URL(String(begun.headers.location), uploads)
    target.searchParams.set('digest', digest)
    await call(
      target,
      { method: 'PUT', headers: { 'content-length': String(bytes) }, body: body ?? null, signal },
      201,
    )
  }
  await inTurns(image.layers, BLOBS_AT_ONCE, ({ digest, bytes, file }) =>
    push(digest, bytes, createReadStream(file)),
  )
  await push(image.config.digest, image.config.bytes.length, image.config.bytes)
  const { mediaType, bytes } = image.manifest
  const manifest = new URL(`/v2/${to.repository}/manifests/${to.tag}`, to.registry)
  await call(manifest, { method: 'PUT', headers: { 'content-type': mediaType }, body: bytes, signal }, 201)
}

/**
 * Pulls the whole image and throws it away; every digest is checked.
 * @param onBytes told of each chunk
 * @throws DemoError when anything is not what was pushed
 */
export async function pullImage(
  from: ImageAddress,
  image: DemoImage,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const headers = { accept: `${image.manifest.mediaType}, */*` }
  const base = `/v2/${from.repository}/`
  const byTag = new URL(`${base}manifests/${from.tag}`, from.registry)
  const head = await call(byTag, { method: 'HEAD', headers, signal }, 200)
  const digest = String(head.headers['docker-content-digest'])
  if (digest !== image.manifest.digest) throw new DemoError(`${byTag} is ${digest}, not what was pushed`)
  const blobs = [image.config, ...image.layers].map((blob) => blob.digest)
  await download(new URL(`${base}manifests/${digest}`, from.registry), digest, onBytes, signal)
  await inTurns(blobs, BLOBS_AT_ONCE, (blob) =>
    download(new URL(`${base}blobs/${blob}`, from.registry), blob, onBytes, signal),
  )
}

async function download(
  url: URL,
  digest: string,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const answer = await request(url, { signal, headersTimeout: IDLE_TIMEOUT_MS, bodyTimeout: IDLE_TIMEOUT_MS })
  if (answer.statusCode !== 200) {
    throw new DemoError(`${url} answered ${answer.statusCode}: ${(await answer.body.text()).slice(0, 500)}`)
  }
  const hash = createHash('sha256')
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    hash.update(chunk)
    onBytes(chunk.length)
  }
  const received = `sha256:${hash.digest('hex')}`
  if (received !== digest) throw new DemoError(`${url} gave ${received}`)
}

async function call(
  url: URL,
  options: Parameters<typeof request>[1],
  expected: number,
): Promise<{ headers: Dispatcher.ResponseData['headers'] }> {
  const answer = await request(url, {
    headersTimeout: IDLE_TIMEOUT_MS,
    bodyTimeout: IDLE_TIMEOUT_MS,
    ...options,
  })
  const text = await answer.body.text()
  if (answer.statusCode === expected) return { headers: answer.headers }
  throw new DemoError(`${options?.method} ${url} answered ${answer.statusCode}: ${text.slice(0, 500)}`)
}

/** Works the items off, a few at a time; the first failure ends it. */
async function inTurns<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values()
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const item of rest) await work(item)
    }),
  )
}
