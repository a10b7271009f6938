/**
 * Goal: `shoal scrub` names what is damaged and where it belongs, and ends with 1 when anything is.
 * Method: the built command against a stub of a seeder.
 */
import { parseDigest } from '@shoal/core'
import { encodeScrubLine, PUBLISH_LINES_MEDIA_TYPE, type ScrubLine } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type SeederStub, startSeederStub } from '../testing/seeder-stub.ts'
import { startShoal } from '../testing/shoal-process.ts'

const digest = parseDigest(`sha256:${'2'.repeat(64)}`)
let stub: SeederStub
beforeEach(async () => {
  stub = await startSeederStub()
})
afterEach(() => stub[Symbol.asyncDispose]())

async function scrub(lines: readonly ScrubLine[], ...args: string[]) {
  stub.answer = (_question, response) => {
    response.writeHead(200, { 'content-type': PUBLISH_LINES_MEDIA_TYPE })
    response.end(lines.map((line) => `${encodeScrubLine(line)}\n`).join(''))
  }
  return startShoal(['scrub', ...args], { SHOAL_SEEDER: stub.url, SHOAL_API_TOKEN: 't' }).ended
}

const damaged: ScrubLine = { type: 'damaged', digest, damage: 'changed', repositories: ['team/app', 'b'] }
const end = (damagedBlobs: number): ScrubLine => {
  return { type: 'end', blobs: 7, bytes: 5_000_000, damagedBlobs, mendedBlobs: 0 }
}

describe('shoal scrub', () => {
  test('with nothing damaged ends with 0', async () => {
    expect(await scrub([{ type: 'progress', blobs: 1, bytes: 1 }, end(0)])).toEqual({
      status: 0,
      out: '7 blobs read, 5.0 MB; all are what was pushed.\n',
      err: '',
    })
    expect(stub.questions[0]?.line).toBe('POST /api/v1/scrub')
  })

  test('names what is damaged', async () => {
    const { status, out } = await scrub([damaged, end(1)])
    expect(status).toBe(1)
    expect(out).toContain(`${digest}: its content was changed; in team/app, b\n`)
    expect(out).toContain('1 are damaged: push their images again')
  })

  test('with --json prints lines, and a seeder that failed is an error', async () => {
    const { out } = await scrub([damaged, end(1)], '--json')
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([damaged, end(1)])
    const failed = await scrub([{ type: 'failed', code: 'STORAGE_UNAVAILABLE', message: 'it failed' }])
    expect(failed.status).toBe(1)
    expect(failed.err).toContain('it failed (STORAGE_UNAVAILABLE)')
  })
})
