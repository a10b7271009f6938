import { expect, test } from 'vitest'
import { ListenUnusableError } from './errors.ts'
import { addressesToAsk, type WhereInit } from './where.ts'

const asked = (init: Partial<WhereInit>) =>
  addressesToAsk({ service: undefined, variable: undefined, configured: undefined, ...init })

test('the variable wins over the file, the file over the default of the service', () => {
  const configured = '10.0.0.1:7100'
  expect(asked({ service: 'seeder', variable: '10.0.0.1:7000', configured })).toEqual(['10.0.0.1:7000'])
  expect(asked({ service: 'seeder', configured })).toEqual([configured])
  expect(asked({ service: 'seeder' })).toEqual(['127.0.0.1:7000'])
  expect(asked({ service: 'agent' })).toEqual(['127.0.0.1:5001'])
})

test('an empty variable counts as not set', () => {
  expect(asked({ service: 'agent', variable: '' })).toEqual(['127.0.0.1:5001'])
})

test('both defaults are asked where nothing says which service it is', () => {
  expect(asked({})).toEqual(['127.0.0.1:7000', '127.0.0.1:5001'])
})

test.each([
  ['0.0.0.0:5001', '127.0.0.1:5001'],
  ['[::]:5001', '[::1]:5001'],
  ['[fd00::7]:5001', '[fd00::7]:5001'],
  ['localhost:5001', 'localhost:5001'],
])('who listens on %s is asked at %s', (listen, address) => {
  expect(asked({ variable: listen })).toEqual([address])
  expect(asked({ configured: listen })).toEqual([address])
})

test.each(['5001', '127.0.0.1:0', 'http://127.0.0.1:5001', 'a b:1'])('%s is no address to ask', (listen) => {
  expect(() => asked({ variable: listen })).toThrow(ListenUnusableError)
  expect(() => asked({ variable: listen })).toThrow(/SHOAL_LISTEN is ".*host:port/)
  expect(() => asked({ configured: listen })).toThrow(/listen in the configuration file is/)
})

test('a value in the file that is no text is no address either', () => {
  expect(() => asked({ configured: 5001 })).toThrow(ListenUnusableError)
  expect(() => asked({ configured: null })).toThrow(ListenUnusableError)
})
