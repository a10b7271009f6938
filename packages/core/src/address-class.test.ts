/** Goal: an address is known for what it is, however it is written. Method: by hand, one of each range. */
import { expect, test } from 'vitest'
import { type AddressClass, addressClass, addressKey } from './address-class.ts'

test.each<[string, AddressClass]>([
  ['8.8.8.8', 'public'],
  ['172.32.0.1', 'public'],
  ['2606:4700::1111', 'public'],
  ['::ffff:8.8.8.8', 'public'],
  ['64:ff9b::808:808', 'public'],
  ['127.1.2.3', 'loopback'],
  ['0.0.0.0', 'loopback'],
  ['::1', 'loopback'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['::ffff:7f00:1', 'loopback'],
  ['169.254.169.254', 'link-local'],
  ['fe80::1%eth0', 'link-local'],
  ['64:ff9b::a9fe:a9fe', 'link-local'],
  ['10.1.2.3', 'private'],
  ['172.31.255.255', 'private'],
  ['192.168.1.1', 'private'],
  ['100.100.100.200', 'private'],
  ['240.0.0.7', 'private'],
  ['fd00:ec2::254', 'private'],
  ['2002:a00:1::', 'private'],
  ['255.255.255.255', 'reserved'],
  ['224.0.0.251', 'multicast'],
  ['ff02::1', 'multicast'],
  ['127.1', 'reserved'],
  ['0x7f000001', 'reserved'],
  ['dead', 'reserved'],
  ['999.1.1.1', 'reserved'],
  ['example.com', 'reserved'],
])('%s is %s', (ip, kind) => {
  expect(addressClass(ip)).toBe(kind)
})

test('an IPv6 network counts as one, and an address that is written inside of IPv6 as itself', () => {
  expect(addressKey('::ffff:10.0.0.1')).toBe('10.0.0.1')
  expect(addressKey('2001:db8:1:2:3:4:5:6')).toBe(addressKey('2001:db8:1:2::'))
  expect(addressKey('2001:db8:1:2::')).not.toBe(addressKey('2001:db8:1:3::'))
})
