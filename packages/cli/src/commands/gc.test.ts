/**
 * Goal: `shoal gc` says what was removed and what that freed, and when it could not, why.
 * Method: the built command against a stub of a seeder.
 */
import type { GarbageReport } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { answerJson, type SeederStub, startSeederStub } from '../testing/seeder-stub.ts'
import { startShoal } from '../testing/shoal-process.ts'

const TOKEN = 'very-secret-token'
const report: GarbageReport = {
  isDryRun: false,
  manifests: 30,
  neededBlobs: 90,
  leasedBlobs: 4,
  removedBlobs: 12,
  removedBytes: 3_456_789_000,
  removedContents: 2,
  removedLinks: 14,
  abandonedUploads: 1,
}
let stub: SeederStub
beforeEach(async () => {
  stub = await startSeederStub()
})
afterEach(() => stub[Symbol.asyncDispose]())

const start = (...args: string[]) =>
  startShoal(['gc', ...args], { SHOAL_SEEDER: stub.url, SHOAL_API_TOKEN: TOKEN })

describe('shoal gc', () => {
  test('tells what went, what stays, and what is free now', async () => {
    stub.answer = answerJson(200, report)
    const { status, out, err } = await start().ended
    expect({ status, err }).toEqual({ status: 0, err: '' })
    expect(out).toMatch(/what +│ +removed │ +stays/)
    expect(out).toMatch(/│ blobs +│ +12 │ +94 │/)
    expect(out).toMatch(/│ abandoned uploads +│ +1 │/)
    expect(out.trimEnd().split('\n').at(-1)).toBe('Freed 3456.8 MB.')
    expect(stub.questions[0]?.line).toBe('POST /api/v1/gc?dryRun=false')
  })

  test('with --dry-run tells what would go', async () => {
    stub.answer = answerJson(200, { ...report, isDryRun: true })
    const { status, out } = await start('--dry-run').ended
    expect(status).toBe(0)
    expect(out).toContain('would go')
    expect(out.trimEnd().split('\n').at(-1)).toBe('A run would free 3456.8 MB; nothing was removed.')
    expect(stub.questions[0]?.line).toBe('POST /api/v1/gc?dryRun=true')
  })

  test('with --untagged names the manifests that no tag reached, and asks for the age', async () => {
    const digest = `sha256:${'1'.repeat(64)}` as const
    const untagged = [{ repository: 'team/app', digest }]
    stub.answer = answerJson(200, { ...report, isDryRun: true, removedManifests: 3, untagged })
    const { status, out } = await start('--dry-run', '--untagged', '--older-than', '36h').ended
    expect(status).toBe(0)
    expect(out).toContain(`team/app@${digest}\nand 2 more\n`)
    expect(out).toMatch(/│ manifests +│ +3 │ +30 │/)
    expect(stub.questions[0]?.line).toBe('POST /api/v1/gc?dryRun=true&untaggedForMs=129600000')
  })

  test('with --untagged ends with 1 at a seeder of before, which has not looked for them', async () => {
    stub.answer = answerJson(200, report)
    const { status, err } = await start('--untagged').ended
    expect(status).toBe(1)
    expect(err).toContain('older version')
  })

  test('with --json prints the report as it came', async () => {
    stub.answer = answerJson(200, report)
    const { status, out } = await start('--json').ended
    expect(status).toBe(0)
    expect(JSON.parse(out)).toEqual(report)
  })

  test('ends with 1 while another run goes on', async () => {
    stub.answer = answerJson(409, { code: 'GC_BUSY', message: 'a run goes on' })
    expect(await start().ended).toEqual({
      status: 1,
      out: '',
      err: `error: ${stub.url}/api/v1/gc?dryRun=false answered with 409: a run goes on (GC_BUSY); a garbage collection is under way already; wait until it has ended\n`,
    })
  })

  test('ends with 1 when a real run is answered for a dry one', async () => {
    stub.answer = answerJson(200, report)
    const { status, out, err } = await start('--dry-run').ended
    expect({ status, out }).toEqual({ status: 1, out: '' })
    expect(err).toContain('a run that removes was reported, and a dry one was asked for')
  })

  test.each<[string, string[]]>([
    ['an argument', ['app:1']],
    ['a flag that is none', ['--force']],
    ['an age that is none', ['--untagged', '--older-than', 'soon']],
    ['a seeder that is no URL', ['--seeder', 'seeder']],
  ])('ends with 2 on %s', async (_what, args) => {
    const { status, out, err } = await start(...args).ended
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(err).toMatch(/^error: /)
  })

  test('ends its waiting on a signal, and says so', async () => {
    const asked = Promise.withResolvers<void>()
    stub.answer = () => asked.resolve()
    const { child, ended } = start()
    await asked.promise
    child.kill('SIGTERM')
    expect(await ended).toEqual({
      status: 143,
      out: '',
      err: 'SIGTERM: no longer waited for; a garbage collection that began goes on\n',
    })
  })
})
