import { describe, expect, it } from 'vitest'
import { formatHostPort, isLoopback, parseHostPort, reachableHost } from './host-port.ts'

describe('host:port', () => {
  it.each([
    ['127.0.0.1:5001', { host: '127.0.0.1', port: 5001 }],
    ['[::1]:5001', { host: '::1', port: 5001 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
  ])('reads %s and writes it back', (text, expected) => {
    expect(parseHostPort(text)).toEqual(expected)
    expect(formatHostPort(expected)).toBe(text)
  })

  it.each(['5001', ':5001', '127.0.0.1', '127.0.0.1:70000', '::1:5001', 'a b:1', 'http://a:1', 'a:1/'])(
    'refuses %s',
    (text) => {
      expect(parseHostPort(text)).toBeUndefined()
    },
  )

  it.each([
    ['10.0.0.1', '10.0.0.2', '10.0.0.1'],
    ['0.0.0.0', '10.0.0.2', '10.0.0.2'],
    ['::', '::ffff:10.0.0.2', '10.0.0.2'],
    ['0.0.0.0', undefined, '0.0.0.0'],
  ])('of %s, dialled as %s, tells %s', (listen, dialled, told) => {
    expect(reachableHost(listen, dialled)).toBe(told)
  })

  it.each([
    ['127.0.0.1', true],
    ['127.8.0.9', true],
    ['localhost', true],
    ['::1', true],
    ['0.0.0.0', false],
    ['10.0.0.1', false],
    ['127.evil.example', false],
    ['1127.0.0.1', false],
  ])('of %s, loopback: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected)
  })
})
