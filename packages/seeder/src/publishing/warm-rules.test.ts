/** Goal: a push warms the nodes that its rule says, and no others. */
import { expect, test } from 'vitest'
import { parseWarmRules, WarmRulesInvalidError } from './warm-rules.ts'
import { WarmSelectorInvalidError } from './warm-selector.ts'

const node = { name: 'n1', zone: 'eu-1' }

test('the first rule that matches counts', () => {
  const rules = parseWarmRules(' team/*:zone=us-1; team/app:all;prod/api-v1.2:name=n? ')
  expect(rules('team/app')!(node)).toBe(false)
  expect(rules('prod/api-v1.2')!(node)).toBe(true)
  expect(rules('prod/api-v1x2')).toBeUndefined()
  expect(rules('other')).toBeUndefined()
  expect(parseWarmRules('')('team/app')).toBeUndefined()
})

test.each(['team', 'team/*', ':all', 'Team:all', 'team all'])('%j is no rule', (text) => {
  expect(() => parseWarmRules(text)).toThrow(WarmRulesInvalidError)
})

test('a selector that is none is refused', () => {
  expect(() => parseWarmRules('team/*:rack=1')).toThrow(WarmSelectorInvalidError)
})
