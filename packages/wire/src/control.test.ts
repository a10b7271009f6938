/**
 * Goal: both sides of the control API read the same thing, and nothing that is out of bounds.
 * Method: one message of each kind there and back; each bound broken by itself; random texts and random changes.
 */
import { parseDigest } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeControlRefusal,
  decodeGarbageReport,
  decodePublishAccepted,
  decodePublishLine,
  decodePublishRequest,
  encodePublishLine,
  type GarbageReport,
  PUBLISH_LINE_BYTES_MAX,
  PUBLISH_REFERENCES_MAX,
  type PublishLine,
  type PublishRequest,
} from './control.ts'
import { ControlMessageInvalidError } from './errors.ts'

const digest = parseDigest(`sha256:${'1'.repeat(64)}`)
const reference = 'registry.example/team/app:1'
const report: GarbageReport = {
  isDryRun: true,
  manifests: 3,
  neededBlobs: 9,
  leasedBlobs: 1,
  removedBlobs: 2,
  removedBytes: 5e12,
  removedContents: 2,
  removedLinks: 4,
  abandonedUploads: 0,
}
const lines: PublishLine[] = [
  { type: 'image', reference, digest, layers: [{ digest, bytes: 7 }] },
  { type: 'layer', reference, digest, receivedBytes: 3, state: 'copying' },
  { type: 'warm', reference, nodes: 500, ready: 20 },
  { type: 'published', reference, digest, copiedBytes: 7, presentBytes: 0 },
  { type: 'failed', reference, code: 'UPSTREAM_DENIED', message: 'the registry said\nno' },
  { type: 'end', published: 1, failed: 1 },
]
const json = JSON.stringify

describe('a line of a publish', () => {
  it.each(lines)('carries $type on one line', (line) => {
    expect(encodePublishLine(line)).not.toContain('\n')
    expect(decodePublishLine(encodePublishLine(line))).toEqual(line)
  })

  it('leaves fields alone that are not known yet', () => {
    expect(decodePublishLine(json({ ...lines.at(-1), seconds: 3 }))).toMatchObject({ type: 'end' })
  })

  it('fits the limit with the longest image', () => {
    const layers = new Array(2_048).fill({ digest: `sha512:${'1'.repeat(128)}`, bytes: 2 ** 50 })
    const line = encodePublishLine({ type: 'image', reference, digest, layers })
    expect(decodePublishLine(line)).toMatchObject({ type: 'image' })
    expect(line.length).toBeLessThan(PUBLISH_LINE_BYTES_MAX / 2)
  })

  it.each<[string, unknown]>([
    ['an unknown type', { type: 'progress' }],
    ['a state that is none', { ...lines[1], state: 'resting' }],
    ['a count below nought', { type: 'end', published: -1, failed: 0 }],
    ['a count that is none', { type: 'end', published: 1.5, failed: 0 }],
    ['a reference with an escape', { ...lines[2], reference: 'a\u001b[2J' }],
    ['an empty reference', { ...lines[2], reference: '' }],
    ['a digest that is none', { ...lines[3], digest: 'sha256:1' }],
    ['a code in prose', { ...lines[4], code: 'it failed' }],
    ['more layers than there can be', { ...lines[0], layers: new Array(2_049).fill({ digest, bytes: 1 }) }],
    ['a list', lines],
    ['null', null],
  ])('refuses %s', (_what, value) => {
    expect(() => decodePublishLine(json(value))).toThrow(ControlMessageInvalidError)
  })

  it('does not repeat what it could not read', () => {
    expect(() => decodePublishLine('{"secret')).toThrow('a line could not be understood: it is not JSON')
  })

  it('throws nothing but its own error on anything', () => {
    const anything = fc.oneof(fc.string(), fc.json())
    const changed = fc
      .tuple(fc.constantFrom(...lines), fc.nat(), fc.string({ maxLength: 3 }))
      .map(([line, at, text]) => {
        const whole = encodePublishLine(line)
        return whole.slice(0, at % whole.length) + text + whole.slice((at % whole.length) + 1)
      })
    fc.assert(
      fc.property(fc.oneof(anything, changed), (text) => {
        try {
          decodePublishLine(text)
        } catch (error) {
          expect(error).toBeInstanceOf(ControlMessageInvalidError)
        }
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('a request to publish', () => {
  const request: PublishRequest = {
    references: [reference, `app@${digest}`],
    from: 'docker.io/library/alpine',
    platforms: ['linux/amd64', 'linux/arm64/v8'],
    warm: 'zone=eu-1a',
    wait: true,
  }

  it('is read as it was meant', () => {
    expect(decodePublishRequest(json(request))).toEqual(request)
    expect(decodePublishRequest(json({ references: ['app:1'], wait: false }))).toEqual({
      references: ['app:1'],
      wait: false,
    })
  })

  it.each<[string, unknown]>([
    ['no references', { ...request, references: [] }],
    ['too many', { ...request, references: new Array(PUBLISH_REFERENCES_MAX + 1).fill('a:1') }],
    ['a platform that is none', { ...request, platforms: ['linux'] }],
    ['an empty selector', { ...request, warm: '' }],
    ['no word on waiting', { references: ['a:1'] }],
    ['a field that was misspelt', { ...request, platform: ['linux/amd64'] }],
  ])('is refused with %s', (_what, value) => {
    expect(() => decodePublishRequest(json(value))).toThrow(ControlMessageInvalidError)
  })
})

describe('the other answers', () => {
  it('are read as they were meant', () => {
    expect(decodeGarbageReport(json(report))).toEqual(report)
    expect(decodePublishAccepted(json({ accepted: [reference] }))).toEqual({ accepted: [reference] })
    expect(decodeControlRefusal('{"code":"GC_BUSY"}')).toEqual({ code: 'GC_BUSY' })
  })

  it('are refused where they are something else', () => {
    expect(() => decodeGarbageReport(json({ ...report, removedBytes: '5' }))).toThrow('/removedBytes')
    expect(() => decodePublishAccepted('{}')).toThrow(ControlMessageInvalidError)
    expect(() => decodeControlRefusal('<html>')).toThrow(ControlMessageInvalidError)
  })
})
