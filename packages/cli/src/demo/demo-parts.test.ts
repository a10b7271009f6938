/**
 * Goal: the parts of the demo that decide something are right on their own; the whole is run in test/.
 * Method: listings as real systems print them, pages as services serve them, children that misbehave.
 */
import { existsSync } from 'node:fs'
import { Cleanup, MetricsPage, ServiceProcess, withTimeLimit } from '@shoal/fanout/processes'
import { describe, expect, test } from 'vitest'
import { MetricMissingError } from '../../../fanout/src/processes/metric-missing.ts'
import { ServiceEndedError } from '../../../fanout/src/processes/service-ended.ts'
import { buildDemoImage } from './demo-image.ts'
import { DemoTimeoutError } from './errors.ts'
import { type MeasuredReport, reportText } from './report.ts'
import { interpreterOf, parseLdd, parseMaps, sharedLibraries } from './shared-libraries.ts'

describe('shared libraries', () => {
  test('as glibc lists them', () => {
    const listing = `\tlinux-vdso.so.1 (0x00007ffd8)
\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f1)
\tlibgone.so.1 => not found
\t/lib64/ld-linux-x86-64.so.2 (0x00007f2)
`
    expect(parseLdd(listing)).toEqual(['/lib/x86_64-linux-gnu/libm.so.6', '/lib64/ld-linux-x86-64.so.2'])
  })

  test('as musl lists them', () => {
    const listing = `\t/lib/ld-musl-x86_64.so.1 (0x7f)
\tlibstdc++.so.6 => /usr/lib/libstdc++.so.6 (0x7e)
`
    expect(parseLdd(listing)).toEqual(['/lib/ld-musl-x86_64.so.1', '/usr/lib/libstdc++.so.6'])
  })

  test('as the system has them mapped', () => {
    const maps = `00400000-0b 123 00000000 08:01 11 /opt/node/bin/node
7f00-7f01 r-xp 00000000 08:01 12                         /usr/lib/x86_64-linux-gnu/libc.so.6
7f01-7f02 r--p 00001000 08:01 12                         /usr/lib/x86_64-linux-gnu/libc.so.6
7f03-7f04 r--p 00000000 08:01 13                         /home/a b/libdl-2.31.so
7f05-7f06 rw-p 00000000 00:00 0                          [stack]
7f07-7f08 r--p 00000000 08:01 14                         /usr/share/locale.so.cache
`
    expect(parseMaps(maps)).toEqual(['/usr/lib/x86_64-linux-gnu/libc.so.6', '/home/a b/libdl-2.31.so'])
  })

  test.runIf(process.platform === 'linux')('of this very Node, with and without ldd', async () => {
    const loader = await interpreterOf(process.execPath)
    const libraries = await sharedLibraries(process.execPath)
    expect(libraries).toContain(loader)
    const { PATH } = process.env
    process.env.PATH = '/nowhere'
    try {
      const mapped = await sharedLibraries(process.execPath)
      expect(mapped).toContain(loader)
      expect(mapped.every((path) => existsSync(path))).toBe(true)
      expect(mapped.some((path) => path.includes('libc'))).toBe(true)
    } finally {
      process.env.PATH = PATH
    }
  })

  test('of what is no program: none', async () => {
    expect(await sharedLibraries(import.meta.filename)).toEqual([])
  })
})

describe('the image', () => {
  test('is as long as asked for, in several layers, the program on top', async () => {
    const asked = 200e6
    const { image, greeting } = await buildDemoImage(asked, AbortSignal.timeout(60_000))
    expect(image.contentBytes).toBeGreaterThanOrEqual(asked)
    expect(image.contentBytes).toBeLessThan(asked + 1e6)
    expect(image.layers.length).toBeGreaterThanOrEqual(3)
    let program = ''
    for await (const chunk of image.layers.at(-1)!.open()) program += Buffer.from(chunk).toString()
    expect(program).toContain(JSON.stringify(greeting))
  })
})

describe('metrics', () => {
  const text = `# HELP a_total Something.
# TYPE a_total counter
a_total{source="peer",b="x"} 1e3
a_total{b="y",source="peer"} 5
a_total{source="seeder"} 7
plain_total 9
plain_total_more 4
`
  const page = new MetricsPage('http://x/metrics', text)

  test('are summed over the series that have the labels', () => {
    expect(page.sum('a_total', { source: 'peer' })).toBe(1_005)
    expect(page.sum('a_total')).toBe(1_012)
    expect(page.sum('plain_total')).toBe(9)
  })

  test('that are missing are no zeros', () => {
    expect(() => page.sum('a_total', { source: 'moon' })).toThrow(MetricMissingError)
    expect(() => page.sum('plain')).toThrow(MetricMissingError)
  })
})

describe('the report', () => {
  const agent = { name: 'agent-1', seconds: 1.5, fromPeers: 75e6, fromSeeder: 25e6, fromOrigin: 0 }
  const report: MeasuredReport = {
    ok: true,
    imageBytes: 100e6,
    originReadBytes: 103e6,
    originRequests: 12,
    seconds: 1.5,
    agents: [agent],
    docker: { leftOut: 'no Docker Engine answers here' },
  }

  test('says what came from where, and how often the origin was read', () => {
    const text = reportText(report)
    expect(text).toMatch(/agent-1 +│ +1\.50 │ +75\.0 MB │ +25\.0 MB │ +0\.0 MB │ all right/)
    expect(text).toContain('75.0 % of all bytes came from peers.')
    expect(text).toContain('103.0 MB from the origin, 1.03 × the image, in 12 requests')
    expect(text).toContain('Docker: left out; no Docker Engine answers here.')
  })

  test('names the agent that failed', () => {
    const failed = {
      ...report,
      ok: false,
      agents: [agent, { ...agent, name: 'agent-2', error: 'it is gone' }],
    }
    expect(reportText(failed)).toContain('agent-2 failed: it is gone')
    expect(reportText({ ok: false, error: 'no room' })).toBe('The demo failed: no room')
  })
})

describe('a service process', () => {
  const node = (program: string) => new ServiceProcess('agent-1', [process.execPath, '--eval', program])
  const ready = `console.log(JSON.stringify({ event: 'ready', listen: '127.0.0.1:1', peerListen: '127.0.0.1:2' }));`
  const stays = `process.on('disconnect', () => process.exit()); setInterval(() => {}, 1000);`

  test('is ready when it says so, and ends when it is asked to', async () => {
    const service = node(`console.log('noise'); ${ready} ${stays}`)
    expect(await service.ready).toEqual({ listen: '127.0.0.1:1', peerListen: '127.0.0.1:2' })
    await service.stop()
    await service.stop()
  })

  test('that ends before it is ready fails with its last lines', async () => {
    const service = node(`console.error('no room left'); process.exit(3)`)
    await expect(service.ready).rejects.toThrow(
      /agent-1 ended with status 3; its last lines:\n {2}no room left/,
    )
    await expect(service.failed).rejects.toThrow(ServiceEndedError)
  })

  test('that cannot be started fails as well', async () => {
    await expect(new ServiceProcess('seeder', ['/no/such/program']).ready).rejects.toThrow(/before it began/)
  })

  test('that dies later fails, unless it was asked to', async () => {
    const service = node(`${ready} ${stays}`)
    await service.ready
    process.kill(service.pid!, 'SIGKILL')
    await expect(service.failed).rejects.toThrow(/by SIGKILL/)
  })
})

describe('cleaning up', () => {
  test('goes backwards, does not stop at what fails, and happens once', async () => {
    const ended: string[] = []
    const cleanup = new Cleanup()
    cleanup.add({ name: 'first', end: async () => ended.push('first') })
    cleanup.add({
      name: 'second',
      end: () => Promise.reject(new Error('stuck')),
      endNow: () => ended.push('second, by force'),
    })
    cleanup.add({ name: 'third', end: async () => ended.push('third') })
    expect(await cleanup.run()).toEqual(['second: stuck'])
    expect(await cleanup.run()).toEqual([])
    expect(ended).toEqual(['third', 'second, by force', 'first'])
  })
})

describe('a time limit', () => {
  const whenAborted = (signal: AbortSignal) =>
    new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(new Error('cut off'))))

  test('names what took too long', async () => {
    const limit = {
      Timeout: DemoTimeoutError,
      doing: 'the push',
      limitMs: 5,
      signal: new AbortController().signal,
    }
    await expect(withTimeLimit(limit, whenAborted)).rejects.toThrow(DemoTimeoutError)
  })

  test('gives way to an end from outside, and to a result', async () => {
    const stop = new AbortController()
    const limit = { Timeout: DemoTimeoutError, doing: 'the push', limitMs: 60_000, signal: stop.signal }
    const work = withTimeLimit(limit, whenAborted)
    stop.abort(new Error('interrupted'))
    await expect(work).rejects.toThrow('interrupted')
    await expect(
      withTimeLimit({ ...limit, signal: new AbortController().signal }, async () => 7),
    ).resolves.toBe(7)
  })
})
