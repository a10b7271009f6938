/**
 * Looks up the names of peers, which strangers choose. What comes out is held against the rule at that moment, so that a name
 * cannot change its mind between a check and the connection.
 *
 * The system's lookups take threads that the disk needs, too, for as long as a name server is silent: few go on at a time.
 */
import { type LookupAddress, lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import type { MayDial } from '@shoal/core'
import { PeerHostRefusedError } from './errors.ts'

/** Half of libuv's threads. */
const LOOKUPS_MAX = 2
const WAITING_MAX = 256
/** Whoever wanted to dial has given up by then. */
const WAIT_MAX_MS = 3_000
/** Of one name: more are tried one after the other, on somebody else's word. */
const ADDRESSES_MAX = 4

interface Waiting {
  readonly sinceMs: number
  readonly begin: () => void
  readonly refuse: () => void
}

let underWay = 0
const waiting: Waiting[] = []

/** For `net.connect`; fails with PeerHostRefusedError where none of a name's addresses may be dialled. */
export function peerLookup(mayDial: MayDial, port: number): LookupFunction {
  return (host, options, callback) => {
    inTurn(
      (done) =>
        lookup(host, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
          done()
          if (error !== null) return callback(error, '')
          const allowed = addresses.filter(({ address }) => mayDial(address, port)).slice(0, ADDRESSES_MAX)
          const [first] = allowed
          if (first === undefined) callback(new PeerHostRefusedError(host), '')
          else if (options.all === true) callback(null, allowed)
          else callback(null, first.address, first.family)
        }),
      () => callback(new PeerHostRefusedError(host), ''),
    )
  }
}

function inTurn(look: (done: () => void) => void, refuse: () => void): void {
  const begin = () => {
    underWay++
    look(() => {
      underWay--
      next()
    })
  }
  if (underWay < LOOKUPS_MAX) begin()
  else if (waiting.length < WAITING_MAX) waiting.push({ sinceMs: performance.now(), begin, refuse })
  else process.nextTick(refuse)
}

function next(): void {
  for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
    if (performance.now() - one.sinceMs <= WAIT_MAX_MS) {
      one.begin()
      return
    }
    one.refuse()
  }
}
