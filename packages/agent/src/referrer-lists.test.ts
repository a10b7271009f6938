/**
 * Goal: who asks for signatures gets the seeder's list or the last one known, and never an empty one by guess.
 * Method: a real folder for records, a seeder that answers what the test says or is away.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseDigest } from '@shoal/core'
import { OciError, type Referrer } from '@shoal/oci'
import type { ReferrersPage } from '@shoal/registry'
import { FilesystemObjectStore } from '@shoal/storage'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SourceUnavailableError } from './errors.ts'
import { ImageRecords } from './image-records.ts'
import { ReferrerLists } from './referrer-lists.ts'
import type { ReferrersQuery, SeederClient } from './seeder-client.ts'
import type { SeederWatch } from './seeder-watch.ts'

const SIGNATURE = 'application/vnd.test.signature'
const SBOM = 'application/vnd.test.sbom'
const subject = parseDigest(`sha256:${'ab'.repeat(32)}`)
const other = parseDigest(`sha512:${'cd'.repeat(64)}`)
const signal = new AbortController().signal
const referrer = (n: number, artifactType: string): Referrer => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: parseDigest(`sha256:${`${n}`.padStart(64, '0')}`),
  size: n,
  artifactType,
  annotations: { 'test.number': `${n}` },
})
const [signature, sbom] = [referrer(1, SIGNATURE), referrer(2, SBOM)]

let folder: string
let answer: ReferrersPage | Error
let asked: { seederUrl: string; repository: string; query: ReferrersQuery }[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-referrers-'))
  asked = []
  answer = { referrers: [signature, sbom] }
})
afterEach(() => rm(folder, { recursive: true }))

const seeder: Pick<SeederWatch, 'ask'> = { ask: (question) => question(new AbortController().signal) }

/** As after a restart, on the same folder. */
async function lists(): Promise<ReferrerLists> {
  const objects = new FilesystemObjectStore({ folder })
  await objects.start()
  const client: Pick<SeederClient, 'referrers'> = {
    async referrers(seederUrl, repository, _subject, query) {
      asked.push({ seederUrl, repository, query })
      if (answer instanceof Error) throw answer
      return answer
    },
  }
  return new ReferrerLists(
    { client: client as SeederClient, seeder, records: new ImageRecords({ objects }) },
    { seederUrl: 'http://seeder:7000' },
  )
}

const page = async (query: ReferrersQuery = {}, repository = 'team/app', of = subject) =>
  (await lists()).page(repository, of, query, signal)
const goAway = () => {
  answer = new SourceUnavailableError('the seeder', 'it is away')
}

describe('the seeder’s list', () => {
  it('is asked for each time: a signature may have come a moment ago', async () => {
    expect((await page()).referrers).toEqual([signature, sbom])
    answer = { referrers: [signature] }
    expect((await page()).referrers).toEqual([signature])
    expect(asked).toHaveLength(2)
    expect(asked[0]).toEqual({ seederUrl: 'http://seeder:7000', repository: 'team/app', query: {} })
  })

  it('is read four pages at a time, the others in their turn', async () => {
    const reading: PromiseWithResolvers<ReferrersPage>[] = []
    const client: Pick<SeederClient, 'referrers'> = {
      referrers() {
        const one = Promise.withResolvers<ReferrersPage>()
        reading.push(one)
        return one.promise
      },
    }
    const objects = new FilesystemObjectStore({ folder })
    await objects.start()
    const asking = new ReferrerLists(
      { client: client as SeederClient, seeder, records: new ImageRecords({ objects }) },
      { seederUrl: 'http://seeder:7000' },
    )
    const pages = Array.from({ length: 6 }, () => asking.page('team/app', subject, { after: 'x' }, signal))
    expect(reading).toHaveLength(4)
    for (let n = 0; n < 6; n++) {
      reading[n]!.resolve({ referrers: [] })
      await pages[n]
      expect(reading).toHaveLength(Math.min(6, 5 + n))
    }
  })

  it('is passed on page by page, with what was asked for', async () => {
    answer = { referrers: [signature], next: 'further' }
    const query = { artifactType: SIGNATURE, after: 'there' }
    expect(await page(query)).toEqual(answer)
    expect(asked[0]!.query).toEqual(query)
  })
})

describe('while the seeder is away', () => {
  it('the last whole list is given, also after a restart, and filtered as the seeder would', async () => {
    await page()
    goAway()
    expect(await page()).toEqual({ referrers: [signature, sbom] })
    expect(await page({ artifactType: SBOM })).toEqual({ referrers: [sbom] })
    expect(await page({ artifactType: 'application/vnd.test.none' })).toEqual({ referrers: [] })
  })

  it('a list that was empty is known to have been empty', async () => {
    answer = { referrers: [] }
    await page()
    goAway()
    expect(await page()).toEqual({ referrers: [] })
  })

  it.each([
    ['nobody asked for', async () => {}],
    ['of which only some were asked for', async () => void (await page({ artifactType: SIGNATURE }))],
    ['of which only the end was asked for', async () => void (await page({ after: 'there' }))],
    [
      'of which only the first page is known',
      async () => {
        answer = { referrers: [signature], next: 'further' }
        await page()
      },
    ],
    ['of another image', async () => void (await page({}, 'team/app', other))],
    ['of another repository', async () => void (await page({}, 'team/other'))],
  ])('a list %s is 503 and not empty', async (_what, before) => {
    await before()
    goAway()
    const error: unknown = await page().catch((thrown) => thrown)
    expect(error).toBeInstanceOf(OciError)
    expect(error).toMatchObject({ code: 'UNAVAILABLE', status: 503 })
  })

  it('a further page is 503 even where the first is known: where it begins is the seeder’s business', async () => {
    await page()
    goAway()
    await expect(page({ after: 'there' })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })
})

it('a client that left is no reason to give it something old', async () => {
  await page()
  answer = new Error('the client left')
  await expect(page()).rejects.toThrow('the client left')
})
