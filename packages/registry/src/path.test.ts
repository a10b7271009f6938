/**
 * Goal: every endpoint is found for every repository name, and no trick of encoding makes a name of what is none.
 * Method: endpoints built from the words that endpoints are made of, and hostile paths.
 */
import { OciError } from '@shoal/oci'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseRegistryPath } from './path.ts'

const DIGEST = `sha256:${'ab'.repeat(32)}`
const word = fc.constantFrom('a', 'manifests', 'blobs', 'uploads', 'tags', 'list', 'library', 'x.y')
const name = fc.array(word, { minLength: 1, maxLength: 5 }).map((words) => words.join('/'))

describe('endpoints', () => {
  test('the base', () => {
    expect(parseRegistryPath('')).toEqual({ kind: 'base' })
    expect(parseRegistryPath('/')).toEqual({ kind: 'base' })
  })

  test('the catalog, which no repository can be named', () => {
    expect(parseRegistryPath('/_catalog')).toEqual({ kind: 'catalog' })
  })

  test('any name in front of any endpoint', () => {
    fc.assert(
      fc.property(name, (repository) => {
        const parse = (rest: string) => parseRegistryPath(`/${repository}/${rest}`)
        expect(parse('manifests/latest')).toEqual({ kind: 'manifest', repository, reference: 'latest' })
        expect(parse(`manifests/${DIGEST}`)).toEqual({ kind: 'manifest', repository, reference: DIGEST })
        expect(parse(`blobs/${DIGEST}`)).toEqual({ kind: 'blob', repository, digest: DIGEST })
        expect(parse('tags/list')).toEqual({ kind: 'tags', repository })
        expect(parse('blobs/uploads/')).toEqual({ kind: 'uploads', repository })
        expect(parse('blobs/uploads')).toEqual({ kind: 'uploads', repository })
        expect(parse('blobs/uploads/some-id')).toEqual({ kind: 'upload', repository, id: 'some-id' })
      }),
    )
  })

  test('a digest whose colon is encoded', () => {
    expect(parseRegistryPath(`/a/blobs/${DIGEST.replace(':', '%3A')}`)).toMatchObject({ digest: DIGEST })
  })
})

describe('names that are none', () => {
  test.each([
    '/../x/manifests/latest',
    '/%2e%2e/x/manifests/latest',
    '/x/../y/manifests/latest',
    '/a%2fb/manifests/latest',
    '/a%2F..%2Fb/tags/list',
    '/a%00/blobs/uploads/',
    '/a//b/manifests/latest',
    '//a/manifests/latest',
    '/_uploads/manifests/latest',
    '/a/_manifests/tags/list',
    '/A/manifests/latest',
    '/Library/App/tags/list',
    '/manifests/latest',
    '/blobs/uploads/',
    '/tags/list',
    '/a%/manifests/latest',
    '/%ff/manifests/latest',
    `/${'a'.repeat(256)}/manifests/latest`,
    `/${'a/'.repeat(4_000)}a/manifests/latest`,
  ])('%s', (path) => {
    expect(() => parseRegistryPath(path)).toThrow(OciError)
    try {
      parseRegistryPath(path)
    } catch (error) {
      expect((error as OciError).code).toBe('NAME_INVALID')
    }
  })

  test('what is no endpoint at all', () => {
    for (const path of ['/_catalog/x', '/a', '/a/', '/a/manifests', '/a/blobs/x/y', '/a/referrers']) {
      expect(parseRegistryPath(path)).toEqual({ kind: 'unknown' })
    }
  })

  test('any path gives an endpoint with a good name, or the one error', () => {
    fc.assert(
      fc.property(fc.webPath(), (path) => {
        try {
          const parsed = parseRegistryPath(path)
          if ('repository' in parsed) expect(parsed.repository).toMatch(/^[a-z0-9]/)
        } catch (error) {
          expect(error).toBeInstanceOf(OciError)
        }
      }),
    )
  })
})
