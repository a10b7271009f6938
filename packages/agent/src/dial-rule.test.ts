/** Goal: an agent knows whether it is on the seeder's machine, and what is itself. Method: by hand. */
import { networkInterfaces } from 'node:os'
import { expect, test } from 'vitest'
import { AgentDialRule } from './dial-rule.ts'

function ruleOf(peerHost: string, seederUrl: string): AgentDialRule {
  const rule = new AgentDialRule({ peerHost, seederUrl })
  rule.listensOn(6001)
  return rule
}

test.each([
  ['10.0.0.21', 'http://10.0.0.10:7000', false],
  ['0.0.0.0', 'http://seeder.example:7000', false],
  ['127.0.0.1', 'http://seeder.example:7000', true],
  ['0.0.0.0', 'http://127.0.0.1:7000', true],
  ['0.0.0.0', 'http://localhost:7000', true],
  ['10.0.0.21', 'http://[::1]:7000', true],
])('with peers at %s and the seeder at %s, loopback: %s', (peerHost, seederUrl, expected) => {
  expect(ruleOf(peerHost, seederUrl).mayDial('127.0.0.1', 7001)).toBe(expected)
})

test('a seeder whose name leads to this machine tells of peers on this machine', () => {
  const rule = ruleOf('0.0.0.0', 'http://this-machine.example:7000')
  rule.reachedSeeder('127.0.1.1')
  expect(rule.mayDial('127.0.1.1', 7001)).toBe(true)
  rule.reachedSeeder('10.0.0.10')
  expect(rule.mayDial('127.0.1.1', 7001)).toBe(false)
})

test('it never dials itself, whichever of its addresses it is told of', () => {
  const here = Object.values(networkInterfaces()).flatMap((all) => all!.map(({ address }) => address))
  const rule = ruleOf('0.0.0.0', 'http://127.0.0.1:7000')
  expect(here.filter((address) => rule.mayDial(address, 6001))).toEqual([])
  expect(rule.mayDial('127.0.0.1', 6002)).toBe(true)
})
