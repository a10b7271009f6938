/**
 * Goal: a child's lines, its end and its failure are seen as they are; nothing that a test process started survives it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { freePort } from './free-port.ts'
import {
  jsonEvent,
  ProcessEndedError,
  ProcessTimeoutError,
  parseLine,
  type RunningProcess,
  runProcess,
  startProcess,
} from './process.ts'
import { temporaryFolder } from './temporary-folder.ts'

const node = (source: string, options?: Parameters<typeof startProcess>[2]): RunningProcess =>
  startProcess(process.execPath, ['--input-type=module', '--eval', source], options)

describe('startProcess', () => {
  test('waits for a line, whether it comes later or is already here', async () => {
    await using child = node(`console.log('{"event":"ready","port":7}'); setInterval(() => {}, 1000)`)
    const line = await child.waitForLine(jsonEvent('ready'), 10_000)
    expect(parseLine(line)).toEqual({ event: 'ready', port: 7 })
    expect(await child.waitForLine(jsonEvent('ready'), 0)).toBe(line)
    expect(await child.stop()).toEqual({ code: null, signal: 'SIGTERM' })
    expect(child.hasExited).toBe(true)
    await child.stop()
  })

  test('gives up a wait when the time is over or the child has ended, and quotes it', async () => {
    await using child = node(`console.error('so far'); setInterval(() => {}, 1000)`)
    await child.waitForLine((line) => line === 'so far', 10_000)
    await expect(child.waitForLine(() => false, 20)).rejects.toThrow(ProcessTimeoutError)
    await using failing = node(`console.error('no such key: x'); process.exitCode = 3`)
    const failure = failing.waitForLine(() => false, 10_000)
    await expect(failure).rejects.toThrow(ProcessEndedError)
    await expect(failure).rejects.toThrow(/code 3[\s\S]*no such key: x/)
    await using missing = startProcess('shoal-no-such-program')
    await expect(missing.waitForLine(() => false, 10_000)).rejects.toThrow(ProcessEndedError)
  })

  test('kills what ignores SIGTERM', async () => {
    const deaf = `process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)`
    const child = node(deaf, { stopTimeoutMs: 50 })
    await child.waitForLine((line) => line === 'up', 10_000)
    expect(await child.stop()).toEqual({ code: null, signal: 'SIGKILL' })
    const other = node(deaf)
    expect(await other.kill9()).toEqual({ code: null, signal: 'SIGKILL' })
  })

  test.runIf(process.platform === 'linux')(
    'a killed test process takes daemons and folders along',
    async () => {
      const source = (name: string) => JSON.stringify(new URL(name, import.meta.url).href)
      const child = node(`
      const { startProcess } = await import(${source('process.ts')})
      const { temporaryFolder } = await import(${source('temporary-folder.ts')})
      const { path } = await temporaryFolder('orphan')
      const daemon = startProcess('sleep', ['3600'])
      console.log(JSON.stringify({ event: 'ready', path, pid: daemon.pid }))
      setInterval(() => {}, 1000)`)
      const ready = parseLine(await child.waitForLine(jsonEvent('ready'), 10_000))
      const { path, pid } = ready as { path: string; pid: number }
      expect(existsSync(path)).toBe(true)
      await child.kill9()
      await expect.poll(() => existsSync(path), { timeout: 10_000 }).toBe(false)
      await expect.poll(() => isRunning(pid), { timeout: 10_000 }).toBe(false)
    },
  )
})

test('runProcess gives both streams, takes input, and fails with what was written', async () => {
  expect(await runProcess('cat', [], { input: Buffer.from('in') })).toEqual({ stdout: 'in', stderr: '' })
  await expect(runProcess('sh', ['-c', 'echo why >&2; exit 4'])).rejects.toThrow(/code 4[\s\S]*why/)
  await expect(runProcess('sleep', ['60'], { timeoutMs: 20 })).rejects.toThrow(ProcessTimeoutError)
})

test('a temporary folder is gone after its block', async () => {
  let path: string
  {
    await using folder = await temporaryFolder('block')
    path = folder.path
    expect(existsSync(path)).toBe(true)
  }
  expect(existsSync(path)).toBe(false)
})

test('free ports differ and can be listened on', async () => {
  const ports = await Promise.all(Array.from({ length: 20 }, freePort))
  expect(new Set(ports).size).toBeGreaterThan(15)
})

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
