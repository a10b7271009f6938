/**
 * Goal: `daemon.json` gets one mirror more and stays otherwise what it was, byte for byte.
 * Method: examples of how people write it, then random documents in random layouts: without the inserted bytes, the text is
 * the one that was there.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RuntimeRefusedError } from '../errors.ts'
import { withMirror } from './daemon-file.ts'

const URL_ = 'http://127.0.0.1:5001'
const merged = (before: string | undefined) => {
  const answer = withMirror(URL_, before)
  return answer.kind === 'text' ? answer.text : `refused: ${answer.reason}`
}

describe('a daemon.json', () => {
  test.each([
    ['that is missing', undefined, '{\n  "registry-mirrors": ["http://127.0.0.1:5001"]\n}\n'],
    ['that is empty', '', '{\n  "registry-mirrors": ["http://127.0.0.1:5001"]\n}\n'],
    ['without a key', '{}', '{ "registry-mirrors": ["http://127.0.0.1:5001"] }'],
    [
      'of several lines',
      '{\n    "debug": true,\n    "log-opts": {"max-size": "10m"}\n}\n',
      '{\n    "debug": true,\n    "log-opts": {"max-size": "10m"},\n    "registry-mirrors": ["http://127.0.0.1:5001"]\n}\n',
    ],
    ['of one line', '{"debug":true}', '{"debug":true, "registry-mirrors": ["http://127.0.0.1:5001"]}'],
    [
      'with Windows’ line ends',
      '{\r\n\t"debug": true\r\n}\r\n',
      '{\r\n\t"debug": true,\r\n\t"registry-mirrors": ["http://127.0.0.1:5001"]\r\n}\r\n',
    ],
    [
      'with a byte order mark',
      '\uFEFF{"debug": true}',
      '\uFEFF{"debug": true, "registry-mirrors": ["http://127.0.0.1:5001"]}',
    ],
    [
      'with another mirror, which comes after',
      '{"registry-mirrors": ["https://mirror.corp"]}',
      '{"registry-mirrors": ["http://127.0.0.1:5001", "https://mirror.corp"]}',
    ],
    [
      'with mirrors line by line',
      '{\n  "registry-mirrors": [\n    "https://a",\n    "https://b"\n  ]\n}',
      '{\n  "registry-mirrors": [\n    "http://127.0.0.1:5001",\n    "https://a",\n    "https://b"\n  ]\n}',
    ],
    ['with no mirror yet', '{"registry-mirrors": []}', '{"registry-mirrors": ["http://127.0.0.1:5001"]}'],
    [
      'with nothing for a list',
      '{"registry-mirrors": null}',
      '{"registry-mirrors": ["http://127.0.0.1:5001"]}',
    ],
  ])('%s', (_what, before, after) => {
    expect(merged(before)).toBe(after)
    expect(merged(after)).toBe(after)
  })

  test('that names the agent already stays as it is', () => {
    const before = '{"registry-mirrors": ["https://a", "http://127.0.0.1:5001/"]}'
    expect(merged(before)).toBe(before)
  })

  test.each([
    ['{"registry-mirrors": "https://a"}', 'no list of URLs'],
    ['{"registry-mirrors": [1]}', 'no list of URLs'],
    ['{"registry-mirrors": [], "registry-mirrors": []}', 'more than once'],
    ['{"Registry-Mirrors": []}', 'in other letters'],
  ])('%s is left', (before, reason) => {
    expect(merged(before)).toContain(`refused: `)
    expect(merged(before)).toContain(reason)
  })

  test.each([
    ['{\n  "debug": true,\n}', 'line 3 column 1'],
    ['{ // comment\n}', 'line 1 column 3'],
    ['[]', 'not a JSON object'],
    ['{"a": 1} x', 'JSON'],
  ])('%j is refused with the place', (before, reason) => {
    expect(() => merged(before)).toThrow(RuntimeRefusedError)
    expect(() => merged(before)).toThrow(reason)
  })

  test('of any content and layout only grows', () => {
    const key = fc.string({ maxLength: 6 }).filter((name) => name !== '__proto__')
    const value = fc.jsonValue({ maxDepth: 2 })
    const document = fc
      .tuple(fc.dictionary(key, value, { maxKeys: 4 }), fc.option(fc.array(fc.webUrl(), { maxLength: 3 })))
      .map(([rest, mirrors]) => (mirrors === null ? rest : { ...rest, 'registry-mirrors': mirrors }))
    fc.assert(
      fc.property(
        document,
        fc.constantFrom(undefined, 1, 2, '\t', '   '),
        fc.boolean(),
        (wanted, indent, crlf) => {
          const json = JSON.stringify(wanted, null, indent)
          const before = crlf ? json.replaceAll('\n', '\r\n') : json
          const after = merged(before)
          const start = [...after].findIndex((_, i) => after.slice(0, i + 1) !== before.slice(0, i + 1))
          // What stands before and after the insertion is what was there.
          const length = after.length - before.length
          const isInsertion = Array.from({ length: start + 1 }, (_, i) => i).some(
            (i) => after.slice(0, i) + after.slice(i + length) === before,
          )
          expect(isInsertion).toBe(true)
          const { 'registry-mirrors': mirrors, ...rest } = JSON.parse(after)
          const { 'registry-mirrors': earlier = [], ...others } = JSON.parse(before)
          expect(rest).toEqual(others)
          expect(mirrors).toEqual([URL_, ...earlier])
        },
      ),
    )
  })
})
