/** Goal: nobody is led where he should not go, and clusters of every kind find each other. Method: by hand. */
import { describe, expect, test } from 'vitest'
import { mayAnnounce, mayDialFrom } from './dial-rule.ts'
import { isHostName } from './host-name.ts'

describe('a name', () => {
  test.each(['node-1', 'dead', 'a.b.example', 'shoal_seeder_1', 'x'.repeat(63), '1st.example', '3com'])(
    'is %s',
    (text) => expect(isHostName(text)).toBe(true),
  )
  test.each([
    ...['', '.', 'a.', '.a', 'a..b', '-a', 'a-', 'a:b', 'a b', 'x'.repeat(64), `${'x.'.repeat(126)}xx`],
    // What C libraries take for addresses, or what only looks like one.
    ...['999.1.1.1', '127.1', '2130706433', '0x7f000001', '0x7f.0x1', '1.2.3.4'],
  ])('is not %j', (text) => expect(isHostName(text)).toBe(false))
})

describe('what is dialled', () => {
  const anywhere = [
    '8.8.8.8',
    '10.1.2.3',
    '192.168.7.7',
    '240.0.0.7',
    '2606:4700::1',
    'fd00::7',
    '::ffff:10.0.0.1',
  ]
  const loopback = ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1', '0.0.0.0', '::']
  const linkLocal = ['169.254.169.254', 'fe80::1', '::ffff:169.254.1.1', '64:ff9b::a9fe:a9fe']
  const nowhere = ['224.0.0.1', '255.255.255.255', 'ff02::1', 'dead', '127.1', '']
  test.each<[string, readonly string[], readonly string[], readonly string[]]>([
    ['at a cluster’s address', ['10.0.0.21'], anywhere, [...loopback, ...linkLocal, ...nowhere]],
    ['on every address', ['0.0.0.0', '::'], anywhere, [...loopback, ...linkLocal, ...nowhere]],
    ['at a name', ['node-7.example'], anywhere, [...loopback, ...linkLocal, ...nowhere]],
    ['on loopback', ['127.0.0.1'], [...anywhere, ...loopback], [...linkLocal, ...nowhere]],
    ['by localhost', ['localhost'], [...anywhere, ...loopback], [...linkLocal, ...nowhere]],
    ['beside its seeder', ['0.0.0.0', '::1'], [...anywhere, ...loopback], [...linkLocal, ...nowhere]],
    ['on the link', ['169.254.3.3'], [...anywhere, ...linkLocal], [...loopback, ...nowhere]],
  ])('by a service %s', (_where, homes, allowed, refused) => {
    const mayDial = mayDialFrom(homes)
    expect(allowed.filter((ip) => !mayDial(ip, 6001))).toEqual([])
    expect(refused.filter((ip) => mayDial(ip, 6001))).toEqual([])
  })

  test('is never the service itself', () => {
    const mayDial = mayDialFrom(['127.0.0.1'], () => [
      { host: '127.0.0.1', port: 6001 },
      { host: '10.0.0.1', port: 6001 },
    ])
    expect(mayDial('127.0.0.1', 6001)).toBe(false)
    expect(mayDial('10.0.0.1', 6001)).toBe(false)
    expect(mayDial('127.0.0.1', 6002)).toBe(true)
    expect(mayDial('10.0.0.2', 6001)).toBe(true)
  })
})

describe('what may be announced', () => {
  test.each([
    ['10.0.0.21', '10.0.0.21'],
    ['10.0.0.21', '127.0.0.1'],
    ['2606:4700::1', '10.0.0.1'],
    ['node-7.example', '10.0.0.1'],
    ['dead', '10.0.0.1'],
    ['127.0.0.1', '127.0.0.1'],
    ['localhost', '127.0.0.2'],
    ['::1', '::1'],
    ['169.254.1.1', '169.254.7.7'],
  ])('%s from %s', (host, remote) => expect(mayAnnounce(host, remote)).toBe(true))

  test.each([
    ['127.0.0.1', '10.0.0.1'],
    ['localhost', '10.0.0.1'],
    ['a.localhost', '10.0.0.1'],
    ['::ffff:127.0.0.1', '10.0.0.1'],
    ['169.254.169.254', '10.0.0.1'],
    ['169.254.169.254', '127.0.0.1'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    // It would be told as the address at which the seeder was dialled.
    ['0.0.0.0', '127.0.0.1'],
    ['::', '::1'],
    ['0.1.2.3', '127.0.0.1'],
    ['224.0.0.1', '10.0.0.1'],
    ['255.255.255.255', '10.0.0.1'],
    ['999.1.1.1', '10.0.0.1'],
    ['dead:beef', '10.0.0.1'],
    ['a..b', '10.0.0.1'],
    ['', '10.0.0.1'],
  ])('not %s from %s', (host, remote) => expect(mayAnnounce(host, remote)).toBe(false))
})
