/** What one member costs that comes to a swarm of 10,000 and completes: divide the mean time by 10,000. */
import { createPrng } from '@shoal/core'
import { test } from 'vitest'
import { TrackerTable } from './tracker-table.ts'

const MEMBERS = 10_000
const INFO_HASH = 'aa'.repeat(20)
const ids = Array.from({ length: MEMBERS }, (_, n) => n.toString(16).padStart(40, '0'))

function fill(zones: number): void {
  const table = new TrackerTable({ prng: createPrng(1) })
  for (const [n, peerId] of ids.entries()) {
    const address = { peerId, host: '10.0.0.1', port: 6001, role: 'agent' } as const
    table.step(0, { kind: 'agent-joined', agent: { address, zone: `zone ${n % zones}` } })
  }
  for (const state of ['leeching', 'seeding'] as const)
    for (const peerId of ids)
      table.step(0, { kind: 'announced', peerId, swarms: [{ infoHash: INFO_HASH, state }] })
}

test('10,000 members come and complete', { timeout: 60_000 }, async ({ bench }) => {
  await bench.compare(
    bench('one zone', () => fill(1)),
    bench('three zones', () => fill(3)),
  )
})
