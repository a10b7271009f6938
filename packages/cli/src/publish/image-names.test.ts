/** Goal: what a seeder is told to publish is what the person means, whole, and nothing that is no image. */
import { ReferenceInvalidError } from '@shoal/oci'
import { describe, expect, test } from 'vitest'
import { parsePublished, parseSource, withDigest } from './image-names.ts'

const digest = `sha256:${'1'.repeat(64)}`

describe('what is published', () => {
  test.each([
    ['app', 'app:latest'],
    ['team/app:1', 'team/app:1'],
    ['registry.example:5000/app', 'registry.example:5000/app:latest'],
    [`ghcr.io/team/app@${digest}`, `ghcr.io/team/app@${digest}`],
    [`app:1@${digest}`, `app:1@${digest}`],
  ])('%s', (text, reference) => {
    expect(parsePublished(text)).toBe(reference)
  })

  test.each(['', 'https://ghcr.io/app', 'App', 'app:', 'app:a b', 'app@sha256:1', '../app', '--json'])(
    '%j is none',
    (text) => {
      expect(() => parsePublished(text)).toThrow(ReferenceInvalidError)
    },
  )

  test('is named with its digest, once', () => {
    expect(withDigest('app:1', digest)).toBe(`app:1@${digest}`)
    expect(withDigest(`app@${digest}`, digest)).toBe(`app@${digest}`)
  })
})

describe('where it is copied from', () => {
  test.each(['docker.io/library/alpine', 'localhost:5000/a', '[::1]:5000/a/b'])('%s', (text) => {
    expect(parseSource(text)).toBe(text)
  })

  test.each([
    '',
    'alpine',
    'library/alpine',
    'docker.io',
    'docker.io/',
    'docker.io/a:1',
    'https://docker.io/a',
  ])('%j is none', (text) => {
    expect(() => parseSource(text)).toThrow(ReferenceInvalidError)
  })
})
