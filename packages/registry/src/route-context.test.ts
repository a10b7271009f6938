/** Goal: a header of any length costs no more than its length. Method: headers as a client sends them, and an eye on the work. */
import { parseDigest } from '@shoal/core'
import type { FastifyRequest } from 'fastify'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { etagOf, isKnownToClient } from './route-context.ts'

const digest = parseDigest(`sha256:${'1'.repeat(64)}`)
const mine = etagOf(digest)
const isKnown = (header: string) =>
  isKnownToClient({ headers: { 'if-none-match': header } } as FastifyRequest, digest)

afterEach(() => vi.restoreAllMocks())

describe('If-None-Match', () => {
  test.each([
    ['*', true],
    [mine, true],
    [`W/${mine}`, true],
    [`"other", W/${mine} ,"more"`, true],
    ['"other"', false],
    [mine.slice(1, -1), false],
    [`"other${mine}"`, false],
  ])('%s', (header, expected) => {
    expect(isKnown(header)).toBe(expected)
  })

  test('of thousands of other tags is not taken apart', () => {
    const split = vi.spyOn(String.prototype, 'split')
    expect(isKnown('"x",'.repeat(4_000))).toBe(false)
    expect(split).not.toHaveBeenCalled()
    expect(isKnown(`${'"x",'.repeat(4_000)}${mine}`)).toBe(true)
    expect(split).toHaveBeenCalled()
  })
})
