/** Shoal's services as processes of their own, as a cluster runs them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { DemoError } from './errors.ts'

export interface ServiceProcess {
  readonly name: string
  /** `http://host:port` */
  readonly url: string
  /** Rejects when the process ends before it was asked to. */
  readonly ended: Promise<never>
  stop(): Promise<void>
}

const READY_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 12_000
const LINES_KEPT = 20

/** @throws DemoError with its last lines when it does not get ready */
export async function startService(
  name: string,
  shoal: readonly string[],
  args: readonly string[],
): Promise<ServiceProcess> {
  const [command = process.execPath, ...before] = shoal
  // A group of its own: Ctrl-C reaches the demo alone, which then ends the services in order.
  const child = spawn(command, [...before, ...args], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const killWithUs = () => child.kill('SIGKILL')
  process.once('exit', killWithUs)
  const lines: string[] = []
  let isStopping = false
  const ready = Promise.withResolvers<string>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      if (lines.length > LINES_KEPT) lines.shift()
      if (line.includes('"event":"ready"')) ready.resolve(JSON.parse(line).listen)
    })
  }
  const ended = new Promise<never>((_resolve, reject) => {
    const end = (why: string) => {
      if (!isStopping) reject(new DemoError(`${name} ${why}; it last said:\n${lines.join('\n')}`))
    }
    child.once('error', (error) => end(`could not be started: ${error.message}`))
    child.once('exit', (code, signal) => end(`ended by itself (${signal ?? code})`))
  })
  ended.catch(() => {})
  const stop = async () => {
    isStopping = true
    await stopChild(child)
    process.off('exit', killWithUs)
  }
  const late = setTimeout(
    () => ready.reject(new DemoError(`${name} was not ready in time:\n${lines.join('\n')}`)),
    READY_TIMEOUT_MS,
  )
  try {
    const listen = await Promise.race([ready.promise, ended])
    return { name, url: `http://${listen}`, ended, stop }
  } catch (error) {
    await stop()
    throw error
  } finally {
    clearTimeout(late)
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const impatient = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await exited
  clearTimeout(impatient)
}
