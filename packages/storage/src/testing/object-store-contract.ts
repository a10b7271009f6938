/**
 * What every object store must do: run on folders beside the code, and on a real S3 server in test/e2e. Stories first, then
 * random operations against a plain map.
 */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { StorageKeyInvalidError } from '../errors.ts'
import type { ObjectStore } from '../object-store.ts'
import { readWhole } from '../read-whole.ts'

const text = (value: string) => Buffer.from(value)

export interface StoreUnderTest {
  readonly store: ObjectStore
  close(): Promise<void>
}

/** @param open gives an empty store, started */
export function objectStoreContract(
  name: string,
  open: () => Promise<StoreUnderTest>,
  { modelRuns = 30 }: { readonly modelRuns?: number } = {},
): void {
  describe(`${name} as an object store`, () => {
    let store: ObjectStore
    let close: () => Promise<void>
    beforeAll(async () => {
      const opened = await open()
      store = opened.store
      close = () => opened.close()
    })
    afterAll(() => close())

    async function content(key: string, range?: { start: number; end: number }): Promise<Buffer | undefined> {
      const object = await store.read(key, range === undefined ? {} : { range })
      return object && Buffer.from(await readWhole(key, object, Number.POSITIVE_INFINITY))
    }

    it('gives back what was put, with its length and tag', async () => {
      const outcome = await store.put('plain/one', text('hello'))
      const found = await store.stat('plain/one')
      expect(found?.length).toBe(5)
      expect(outcome).toEqual({ kind: 'stored', etag: found?.etag })
      const object = await store.read('plain/one')
      expect(object?.etag).toBe(found?.etag)
      expect(Buffer.from(await readWhole('plain/one', object!, 5)).toString()).toBe('hello')
      const again = await store.read('plain/one')
      await expect(readWhole('plain/one', again!, 4)).rejects.toThrow('longer than the 4 bytes')
    })

    it('knows nothing of what was never put', async () => {
      expect(await store.stat('plain/none')).toBeUndefined()
      expect(await store.read('plain/none')).toBeUndefined()
      await store.delete('plain/none')
    })

    it('holds empty objects', async () => {
      await store.put('plain/empty', new Uint8Array())
      expect((await store.stat('plain/empty'))?.length).toBe(0)
      expect(await content('plain/empty')).toHaveLength(0)
    })

    it.each([
      [{ start: 0, end: 3 }, 'abc'],
      [{ start: 2, end: 5 }, 'cde'],
      [{ start: 4, end: 100 }, 'ef'],
      [{ start: 3, end: 3 }, ''],
      [{ start: 6, end: 9 }, ''],
    ])('reads the range %o', async (range, expected) => {
      await store.put('plain/range', text('abcdef'))
      expect((await content('plain/range', range))?.toString()).toBe(expected)
      const object = await store.read('plain/range', { range })
      expect(object?.length).toBe(6)
      await readWhole('plain/range', object!, 6)
    })

    it('has one winner of eight who create the same key', async () => {
      for (let round = 0; round < 3; round++) {
        const key = `race/${round}`
        const outcomes = await Promise.all(
          Array.from({ length: 8 }, (_, n) => store.put(key, text(`writer ${n}`), { ifAbsent: true })),
        )
        const winners = outcomes.flatMap(({ kind }, n) => (kind === 'stored' ? [n] : []))
        expect(winners).toHaveLength(1)
        expect((await content(key))?.toString()).toBe(`writer ${winners[0]}`)
      }
    })

    it('replaces an object only if it is still the one that was seen', async () => {
      const first = await store.put('tagged', text('1'))
      const seen = first.kind === 'stored' ? first.etag : ''
      expect((await store.put('tagged', text('22'), { ifMatch: seen })).kind).toBe('stored')
      expect((await store.put('tagged', text('333'), { ifMatch: seen })).kind).toBe('precondition-failed')
      expect((await content('tagged'))?.toString()).toBe('22')
      expect((await store.put('gone', text('4'), { ifMatch: seen })).kind).toBe('precondition-failed')
    })

    it('does not bring back an object that is removed while it is replaced', async () => {
      for (let round = 0; round < 8; round++) {
        const first = await store.put('removed', text('1'))
        const seen = first.kind === 'stored' ? first.etag : ''
        // Whichever comes first: the replaced object is removed, or there is nothing left to replace.
        await Promise.all([store.put('removed', text('22'), { ifMatch: seen }), store.delete('removed')])
        expect(await content('removed')).toBeUndefined()
      }
    })

    it('removes an object only if it is still the one that was seen', async () => {
      const first = await store.put('seen', text('1'))
      const seen = first.kind === 'stored' ? first.etag : ''
      const second = await store.put('seen', text('22'))
      expect(await store.deleteIf('seen', seen)).toBe(false)
      expect((await content('seen'))?.toString()).toBe('22')
      expect(await store.deleteIf('seen', second.kind === 'stored' ? second.etag : '')).toBe(true)
      expect(await content('seen')).toBeUndefined()
      expect(await store.deleteIf('seen', seen)).toBe(false)
    })

    it('shows a reader the old object or the new one, never a part', async () => {
      const versions = [Buffer.alloc(300_000, 'a'), Buffer.alloc(700_000, 'b')]
      await store.put('replaced', versions[0]!)
      const writing = (async () => {
        for (let i = 0; i < 10; i++) await store.put('replaced', versions[i % 2]!)
      })()
      for (let i = 0; i < 10; i++) {
        const seen = await content('replaced')
        expect(versions.some((version) => version.equals(seen!))).toBe(true)
      }
      await writing
    })

    it('takes an object of 40 MB in chunks, visible only when it is complete', async () => {
      const chunk = randomBytes(1_000_000)
      const writer = await store.createWriter('large/one')
      for (let i = 0; i < 40; i++) await writer.write(chunk)
      expect(await store.stat('large/one')).toBeUndefined()
      await writer.complete()
      // Too late: it is there.
      await writer.abort()
      expect((await store.stat('large/one'))?.length).toBe(40_000_000)
      expect((await content('large/one', { start: 38_999_990, end: 39_000_010 }))?.toString('hex')).toBe(
        Buffer.concat([chunk.subarray(-10), chunk.subarray(0, 10)]).toString('hex'),
      )
    })

    it('takes short and empty objects by the same way', async () => {
      for (const bytes of [text('short'), new Uint8Array()]) {
        const writer = await store.createWriter('large/short')
        if (bytes.length > 0) await writer.write(bytes)
        await writer.complete()
        expect(await content('large/short')).toHaveLength(bytes.length)
      }
    })

    it('forgets what was aborted', async () => {
      for (const megabytes of [0, 1, 20]) {
        const writer = await store.createWriter('large/aborted')
        for (let i = 0; i < megabytes; i++) await writer.write(Buffer.alloc(1_000_000))
        await writer.abort()
        await writer.abort()
      }
      expect(await store.stat('large/aborted')).toBeUndefined()
      expect((await store.list('large/', { keysMax: 10 })).keys).not.toContain('large/aborted')
    })

    it('goes on from a checkpoint, as if nothing had happened in between', async () => {
      // Below one part of S3's, above one, and with a remainder that is a part by itself.
      for (const [first, second] of [
        [0, 1_000],
        [1_000, 0],
        [3_000_000, 2_000_000],
        [9_000_000, 9_000_000],
        [14_000_000, 100],
      ] as const) {
        const key = `large/resumed-${first}`
        const bytes = randomBytes(first + second)
        const writer = await store.createWriter(key)
        await writer.write(bytes.subarray(0, first))
        const checkpoint = await writer.checkpoint()
        expect(checkpoint.bytes).toBe(first)
        // Lost with the process.
        await writer.write(randomBytes(10))
        await writer.release()
        const resumed = await store.resumeWriter(key, checkpoint)
        await resumed!.write(bytes.subarray(first))
        await resumed!.checkpoint()
        await resumed!.complete()
        expect((await content(key))!.equals(bytes)).toBe(true)
      }
    })

    it('forgets a checkpoint that is aborted or swept', async () => {
      for (const bytes of [100, 9_000_000]) {
        const key = `large/forgotten-${bytes}`
        const writer = await store.createWriter(key)
        await writer.write(Buffer.alloc(bytes))
        const checkpoint = await writer.checkpoint()
        await writer.release()
        await (await store.resumeWriter(key, checkpoint))!.abort()
        expect(await store.resumeWriter(key, checkpoint)).toBeUndefined()
        expect(await store.stat(key)).toBeUndefined()
      }
      const writer = await store.createWriter('large/swept')
      await writer.write(Buffer.alloc(9_000_000))
      const checkpoint = await writer.checkpoint()
      await writer.release()
      expect(await store.sweepWriters(Date.now() - 3_600_000)).toBe(0)
      const resumed = await store.resumeWriter('large/swept', checkpoint)
      await resumed!.release()
      expect(await store.sweepWriters(Date.now() + 3_600_000)).toBeGreaterThan(0)
      expect(await store.resumeWriter('large/swept', checkpoint)).toBeUndefined()
    })

    it('can stop reading in the middle, again and again', async () => {
      await store.put('stopped', Buffer.alloc(3_000_000))
      for (let i = 0; i < 100; i++) {
        const object = await store.read('stopped')
        for await (const chunk of object!.body) {
          expect(chunk.length).toBeGreaterThan(0)
          break
        }
      }
    })

    it('lists in the order of the keys’ bytes, page by page', async () => {
      const keys = [
        'l/a',
        'l/a-b',
        'l/a.b',
        'l/a0',
        'l/b/c',
        'l/b/c0',
        'l/b-/x',
        'l/b0',
        'l/B',
        'l/b/c-d/e',
      ].map((k) => k.replace('l/a/', 'l/'))
      for (const key of keys) await store.put(key, text(key))
      const sorted = keys.toSorted()
      for (const keysMax of [1, 3, sorted.length, 50]) {
        const seen: string[] = []
        let after: string | undefined
        do {
          const page = await store.list('l/', { keysMax, ...(after !== undefined && { after }) })
          expect(page.keys.length).toBeLessThanOrEqual(keysMax)
          seen.push(...page.keys)
          after = page.next
        } while (after !== undefined)
        expect(seen).toEqual(sorted)
      }
      expect((await store.list('l/b/', { keysMax: 10 })).keys).toEqual(['l/b/c', 'l/b/c-d/e', 'l/b/c0'])
      expect((await store.list('l/b', { keysMax: 10, after: 'l/b/c' })).keys).toEqual([
        'l/b/c-d/e',
        'l/b/c0',
        'l/b0',
      ])
      expect(await store.list('nothing/', { keysMax: 10 })).toEqual({ keys: [] })
      await store.put('l/b/c', text('of another length'))
      const measured = await store.list('l/b/', { keysMax: 2, withLengths: true })
      expect(measured).toEqual({ keys: ['l/b/c', 'l/b/c-d/e'], lengths: [17, 9], next: 'l/b/c-d/e' })
    })

    it.each([
      '',
      '/a',
      'a/',
      'a//b',
      '..',
      'a/../b',
      './a',
      'a b',
      'a\0b',
      'ä',
      'a~',
      '%2e%2e',
      `a/${'x'.repeat(256)}`,
      `${'x/'.repeat(500)}x`,
    ])('refuses the key %j', async (key) => {
      await expect(store.put(key, text('x'))).rejects.toThrow(StorageKeyInvalidError)
      await expect(store.read(key)).rejects.toThrow(StorageKeyInvalidError)
      await expect(store.createWriter(key)).rejects.toThrow(StorageKeyInvalidError)
    })

    it('does what a map does', async () => {
      const key = fc.constantFrom('m/a', 'm/b/c', 'm/b/d', 'm/b-x', 'm/z')
      const operation = fc.oneof(
        fc.record({ kind: fc.constant('put' as const), key, value: fc.string({ maxLength: 5 }) }),
        fc.record({ kind: fc.constant('create' as const), key, value: fc.string({ maxLength: 5 }) }),
        fc.record({ kind: fc.constant('delete' as const), key }),
        fc.record({ kind: fc.constant('list' as const), keysMax: fc.integer({ min: 1, max: 6 }) }),
      )
      await fc.assert(
        fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async (operations) => {
          for (const old of (await store.list('m/', { keysMax: 100 })).keys) await store.delete(old)
          const map = new Map<string, string>()
          for (const step of operations) {
            if (step.kind === 'put') {
              await store.put(step.key, text(step.value))
              map.set(step.key, step.value)
            } else if (step.kind === 'create') {
              const outcome = await store.put(step.key, text(step.value), { ifAbsent: true })
              expect(outcome.kind).toBe(map.has(step.key) ? 'precondition-failed' : 'stored')
              if (!map.has(step.key)) map.set(step.key, step.value)
            } else if (step.kind === 'delete') {
              await store.delete(step.key)
              map.delete(step.key)
            } else {
              const expected = [...map.keys()].toSorted().slice(0, step.keysMax)
              expect((await store.list('m/', { keysMax: step.keysMax })).keys).toEqual(expected)
            }
          }
          for (const [at, value] of map) expect((await content(at))?.toString()).toBe(value)
        }),
        { numRuns: modelRuns },
      )
    }, 120_000)
  })
}
