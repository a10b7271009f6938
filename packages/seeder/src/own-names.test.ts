/** Goal: a seeder goes by the addresses where it listens, and by nothing that could be another's. Method: addresses by hand. */
import { expect, it } from 'vitest'
import { namesByListening } from './own-names.ts'

const addresses = [
  { address: '127.0.0.1', internal: true },
  { address: '10.0.0.10', internal: false },
  { address: '192.168.7.1', internal: false },
]

it.each([
  ['10.0.0.10', 7000, ['10.0.0.10:7000']],
  ['Shoal.corp', 7000, ['shoal.corp:7000']],
  ['10.0.0.10', 80, ['10.0.0.10:80', '10.0.0.10']],
  ['127.0.0.1', 7000, ['127.0.0.1:7000', 'localhost:7000']],
  ['localhost', 7000, ['localhost:7000']],
  // Every node has a loopback of its own.
  ['0.0.0.0', 7000, ['10.0.0.10:7000', '192.168.7.1:7000']],
])('who listens on %s:%i', (host, port, names) => {
  expect(namesByListening({ host, port }, addresses)).toEqual(names)
})
