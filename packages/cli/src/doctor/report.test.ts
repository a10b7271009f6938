/** Goal: a report adds up, reads as one line a check, and cannot be made to say something else by what it quotes. */
import { PassThrough } from 'node:stream'
import { Compile } from 'typebox/compile'
import { describe, expect, test } from 'vitest'
import { failure, ok, skipped, together, warning } from './check-result.ts'
import { CHECK_NAMES, DoctorReport, exitStatusOf, reportOf } from './report.ts'
import { reportText } from './report-text.ts'

const about = { version: '1.2.3', durationMs: 432.1 }
const findings = new Map([
  ['tracker', skipped('the agent is not running')],
  ['configuration', ok('all defaults')],
  ['cache', warning('little room', 'Make room.')],
  ['seeder', failure('no answer', 'Check `seeder`', { url: 'http://a' })],
] as const)
const terminal = (isTTY: boolean) =>
  Object.assign(new PassThrough(), { isTTY }) as unknown as NodeJS.WriteStream

describe('a report', () => {
  test('has the checks in their order, and is as bad as the worst', () => {
    const report = reportOf(findings, about)
    expect(report.checks.map(({ name }) => name)).toEqual(['configuration', 'seeder', 'tracker', 'cache'])
    expect(report).toMatchObject({
      outcome: 'failure',
      counts: { ok: 1, warning: 1, failure: 1, skipped: 1 },
    })
    expect(exitStatusOf(report)).toBe(1)
    expect(Compile(DoctorReport).Check(JSON.parse(JSON.stringify(report)))).toBe(true)
  })

  test('with warnings alone ends well; what was skipped does not count', () => {
    expect(exitStatusOf(reportOf(new Map([['cache', warning('a', 'b')]]), about))).toBe(0)
    expect(reportOf(new Map([['cache', skipped('x')]]), about)).toMatchObject({ outcome: 'ok' })
  })

  test('knows every check once', () => {
    expect(new Set(CHECK_NAMES).size).toBe(CHECK_NAMES.length)
  })
})

describe('as text', () => {
  test('is a line for each check, and one that counts', () => {
    expect(reportText(reportOf(findings, about), terminal(false)).split('\n')).toEqual([
      'ok       configuration  all defaults.',
      'failure  seeder         no answer. Check `seeder`.',
      'skipped  tracker        because the agent is not running.',
      'warning  cache          little room. Make room.',
      '',
      '1 ok, 1 warning, 1 failure, 1 skipped, in 0.4 s.',
    ])
  })

  test('keeps what others wrote on its line and without its escapes', () => {
    const nasty = new Map([['peers', ok('node \u001b[2J\n\u202eevil')]] as const)
    const [line] = reportText(reportOf(nasty, about), terminal(false)).split('\n')
    expect(line).toBe('ok       peers          node  [2J evil.')
  })
})

test('several findings are as bad as the worst, and tell all that is not well', () => {
  const all = together([ok('a'), warning('b', 'B.'), failure('c', 'C.'), warning('d', 'B.')], { x: 1 })
  expect(all).toEqual({ outcome: 'failure', message: 'b; c; d', advice: 'B. C.', measured: { x: 1 } })
  expect(together([ok('a'), ok('b')], {})).toEqual({ outcome: 'ok', message: 'a; b', measured: {} })
})
