/**
 * Goal: names that strangers choose take neither the threads that the disk needs nor more memory than is set aside for them,
 * and lead to a few addresses at most.
 * Method: a name server in the test's hands, which answers when it is told to, on time that the test sets.
 */
import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { PeerHostRefusedError } from './errors.ts'
import { peerLookup } from './peer-lookup.ts'

interface Asked {
  readonly host: string
  answer(addresses: readonly string[]): void
}

const asked = vi.hoisted<Asked[]>(() => [])
vi.mock('node:dns', () => ({
  lookup(host: string, _options: object, callback: (error: null, addresses: LookupAddress[]) => void) {
    asked.push({
      host,
      answer: (ips) =>
        callback(
          null,
          ips.map((address) => ({ address, family: 4 })),
        ),
    })
  },
}))

type Found = Parameters<Parameters<LookupFunction>[2]>
let found: Map<string, Found>
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
  found = new Map()
})
afterEach(() => {
  // What waits is looked up or refused when those before it are answered.
  for (let one = asked.shift(); one !== undefined; one = asked.shift()) one.answer(['10.0.0.1'])
  vi.useRealTimers()
})

function look(host: string, mayDial: (ip: string) => boolean = () => true): void {
  peerLookup(mayDial, 6_001)(host, { all: true }, (...result) => void found.set(host, result))
}
const many = (count: number) => Array.from({ length: count }, (_, n) => `host-${n}.test`)
const hosts = () => asked.map(({ host }) => host)
const refused = () => [...found].filter(([, [error]]) => error instanceof PeerHostRefusedError).length
/** What is refused at once is told in the next turn, as lookups are. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('names', () => {
  it('are looked up two at a time, the others in their turn', () => {
    for (const host of many(5)) look(host)
    expect(hosts()).toEqual(['host-0.test', 'host-1.test'])
    asked[1]!.answer(['10.0.0.1'])
    expect(hosts()).toEqual(['host-0.test', 'host-1.test', 'host-2.test'])
    asked.splice(1, 1)
  })

  it('wait by the 256; those beyond are refused without being looked up', async () => {
    for (const host of many(2 + 256 + 3)) look(host)
    await turn()
    expect(hosts()).toHaveLength(2)
    expect([...found.keys()]).toEqual(['host-258.test', 'host-259.test', 'host-260.test'])
    expect(refused()).toBe(3)
  })

  it('that have waited for three seconds are not looked up any more: who wanted to dial has given up', () => {
    for (const host of many(4)) look(host)
    vi.advanceTimersByTime(3_001)
    look('later.test')
    asked.shift()!.answer(['10.0.0.1'])
    expect(refused()).toBe(2)
    expect(hosts()).toEqual(['host-1.test', 'later.test'])
  })
})

describe('the addresses of a name', () => {
  const addresses = many(20).map((_, n) => `10.0.0.${n}`)

  it('that are dialled are four, whatever the name has', () => {
    look('crowd.test')
    asked.shift()!.answer(addresses)
    expect(found.get('crowd.test')![1]).toHaveLength(4)
  })

  it('are held against the rule before they are counted', () => {
    look('crowd.test', (ip) => ip === '10.0.0.19')
    asked.shift()!.answer(addresses)
    expect(found.get('crowd.test')![1]).toEqual([{ address: '10.0.0.19', family: 4 }])
  })
})
