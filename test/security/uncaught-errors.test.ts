/**
 * Goal: an error that nobody handled does not end a service that serves: it is logged with its stack, counted, cuts the request
 * that it belongs to, and nothing else. Before the service is ready, and in tests, it ends it.
 * Method: services as processes, in which a module that is loaded before them throws when it is asked to: by a signal, or while
 * a request is answered.
 */
import { open } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { jsonEvent, type ProcessOptions, parseLine, startProcess } from '../support/process.ts'
import { BIN, type ShoalProcess, startShoal } from '../support/shoal.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

let stack: AsyncDisposableStack
let folder: string
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  folder = stack.use(await temporaryFolder('uncaught')).path
})
afterEach(() => stack.disposeAsync())

/** What a bug would be: in a signal's handler, in a promise, in an emitter, and in what a request has begun. */
const BUGS = `
import { EventEmitter } from 'node:events'
import { ServerResponse } from 'node:http'
process.on('SIGUSR2', () => { throw new Error('a bug in a handler') })
process.on('SIGHUP', () => { Promise.reject(new Error('a bug in a promise')) })
process.on('SIGWINCH', () => {
  for (let n = 0; n < 500; n++) setImmediate(() => new EventEmitter().emit('error', new Error('a bug in a loop')))
})
const { writeHead, end } = ServerResponse.prototype
ServerResponse.prototype.writeHead = function (...words) {
  if (this.req.headers['x-bug'] === undefined) return writeHead.apply(this, words)
  setTimeout(() => { throw new Error('a bug in a request') }, 10)
  return this
}
ServerResponse.prototype.end = function (...words) {
  return this.req.headers['x-bug'] === undefined ? end.apply(this, words) : this
}
if (process.env.BUG_AT_START) setTimeout(() => { throw new Error('a bug at the start') })
`
const withBugs = (env: Readonly<Record<string, string | undefined>>): ProcessOptions => ({
  env: { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(BUGS)}`, ...env },
})
/** As an operator runs it. */
const IN_PRODUCTION = { SHOAL_UNCAUGHT_ERRORS: undefined }

const argsOf = (service: 'seeder' | 'agent') => [
  ...[service, '--listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0'],
  ...(service === 'seeder'
    ? ['--data', `${folder}/data`, '--origin', `${folder}/origin`]
    : ['--cache', `${folder}/cache`, '--seeder', 'http://127.0.0.1:9']),
]
const urlOf = ({ ready }: ShoalProcess) => `http://${ready.listen}`

async function counted(process: ShoalProcess, service: string): Promise<number> {
  const text = await (await fetch(`${urlOf(process)}/metrics`)).text()
  return Number(new RegExp(`^shoal_${service}_uncaught_errors_total (.*)$`, 'm').exec(text)?.[1])
}
const errorsIn = ({ lines }: ShoalProcess) =>
  lines.map(parseLine).filter((line) => line?.event === 'uncaught-error')

describe.each(['seeder', 'agent'] as const)('a %s in production', (service) => {
  it('survives errors that nobody handled, tells of each with its stack, and counts them', async () => {
    const process = stack.use(await startShoal(argsOf(service), withBugs(IN_PRODUCTION)))
    expect(await counted(process, service)).toBe(0)
    process.signal('SIGUSR2')
    await process.waitForLine(jsonEvent('uncaught-error'), 10_000)
    process.signal('SIGHUP')
    await expect.poll(() => errorsIn(process).length).toBe(2)
    expect(errorsIn(process)).toMatchObject([
      { level: 50, origin: 'uncaughtException', err: { message: 'a bug in a handler' } },
      { level: 50, origin: 'unhandledRejection', err: { message: 'a bug in a promise' } },
    ])
    expect(JSON.stringify(errorsIn(process)[0])).toMatch(/"stack":"Error: a bug in a handler\\n {4}at /)
    expect(await counted(process, service)).toBe(2)
    // It still ends in order.
    expect(await process.stop()).toEqual({ code: 0, signal: null })
  })

  it('cuts the request that the error belongs to, names it in the log, and answers all others', async () => {
    const process = stack.use(await startShoal(argsOf(service), withBugs(IN_PRODUCTION)))
    const ask = (headers: Record<string, string>) =>
      fetch(`${urlOf(process)}/healthz?token=secret`, { headers, signal: AbortSignal.timeout(10_000) })
    const others = Promise.all(Array.from({ length: 20 }, () => ask({})))
    const cut = await ask({ 'x-bug': '1' }).catch((error: unknown) => error)
    expect(String((cut as Error).cause)).toMatch(/other side closed|ECONNRESET/)
    expect((await others).map(({ status }) => status)).toEqual(Array(20).fill(200))
    await process.waitForLine(jsonEvent('uncaught-error'), 10_000)
    const [error] = errorsIn(process)
    expect(error).toMatchObject({
      method: 'GET',
      reqId: expect.any(String),
      err: { message: 'a bug in a request' },
    })
    expect(error!.url).toMatch(/^\/healthz/)
    expect((await ask({})).status).toBe(200)
  })

  it('counts every error of many, and writes of them what tells enough', async () => {
    const process = stack.use(await startShoal(argsOf(service), withBugs(IN_PRODUCTION)))
    process.signal('SIGWINCH')
    await expect.poll(() => counted(process, service)).toBe(500)
    await expect.poll(() => errorsIn(process).length).toBe(60)
  })

  it('goes on when its log cannot be written any more, and does not turn in circles over it', async () => {
    // A device that is always full.
    const full = await open('/dev/full', 'w')
    stack.defer(() => full.close())
    const port = await freePort()
    const args = argsOf(service).map((word, at, all) =>
      all[at - 1] === '--listen' ? `127.0.0.1:${port}` : word,
    )
    const command = ['-c', 'exec "$@" > /dev/full', 'sh', globalThis.process.execPath, BIN, ...args]
    const process = stack.use(startProcess('sh', command, withBugs(IN_PRODUCTION)))
    const url = `http://127.0.0.1:${port}`
    await expect
      .poll(
        () =>
          fetch(`${url}/healthz`).then(
            ({ status }) => status,
            () => 0,
          ),
        { timeout: 30_000 },
      )
      .toBe(200)
    process.signal('SIGUSR2')
    const metrics = async () => (await fetch(`${url}/metrics`)).text()
    await expect.poll(metrics).toMatch(new RegExp(`^shoal_${service}_uncaught_errors_total 1$`, 'm'))
    // One that went in circles would have counted thousands by now, or be deaf.
    for (let n = 0; n < 20; n++) await fetch(`${url}/healthz`)
    expect(await metrics()).toMatch(new RegExp(`^shoal_${service}_uncaught_errors_total 1$`, 'm'))
    expect(process.hasExited).toBe(false)
    expect(await process.stop()).toEqual({ code: 0, signal: null })
  })

  it('ends with status 1 when it is not ready yet', async () => {
    const process = stack.use(
      startProcess(
        globalThis.process.execPath,
        [BIN, ...argsOf(service)],
        withBugs({ ...IN_PRODUCTION, BUG_AT_START: '1' }),
      ),
    )
    expect(await process.exited).toEqual({ code: 1, signal: null })
  })
})

describe('a service in a test', () => {
  it('ends with the first error that nobody handled, and says so', async () => {
    const process = stack.use(await startShoal(argsOf('seeder'), withBugs({})))
    process.signal('SIGHUP')
    expect(await process.exited).toEqual({ code: 1, signal: null })
    expect(process.lines.map(parseLine).at(-1)).toMatchObject({
      level: 60,
      event: 'crashed',
      err: { message: 'a bug in a promise' },
    })
  })
})
