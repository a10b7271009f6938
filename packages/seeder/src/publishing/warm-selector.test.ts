/** Goal: a selector means what it says, and nothing that is none selects anybody. */
import { expect, test } from 'vitest'
import { parseWarmSelector, WarmSelectorInvalidError } from './warm-selector.ts'

const nodes = [
  { name: 'gpu-1', zone: 'eu-1' },
  { name: 'gpu-2', zone: 'us-1' },
  { name: 'web.1', zone: 'eu-2' },
]
const chosen = (text: string) => nodes.filter(parseWarmSelector(text)).map(({ name }) => name)

test.each([
  ['all', ['gpu-1', 'gpu-2', 'web.1']],
  ['zone=eu-*', ['gpu-1', 'web.1']],
  ['zone=eu-1|us-1', ['gpu-1', 'gpu-2']],
  ['zone=eu-*, name=gpu-?', ['gpu-1']],
  ['name=web.1', ['web.1']],
  ['name=web1', []],
  ['zone=nowhere', []],
])('%s', (text, names) => {
  expect(chosen(text)).toEqual(names)
})

test.each(['', 'eu', 'zone', 'zone=', 'zone=a,', 'rack=1', 'zone=(', 'name=a b', 'zone==a'])(
  '%j is none',
  (text) => {
    expect(() => parseWarmSelector(text)).toThrow(WarmSelectorInvalidError)
  },
)
