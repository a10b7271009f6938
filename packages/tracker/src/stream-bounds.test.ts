/**
 * Goal: announce streams cannot fill the tracker: not with names, with frames, or with what they leave unread, neither those of
 * one address nor all of them.
 * Method: the bounds themselves, with streams that are nothing but their counts.
 */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { beforeEach, describe, expect, it } from 'vitest'
import type { WebSocket } from 'ws'
import { StreamBounds } from './stream-bounds.ts'

const MIB = 1024 * 1024

class CountedStream extends EventEmitter {
  readonly OPEN = 1
  readyState = 1
  bufferedAmount = 0
  isPaused = false

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  get isOpen(): boolean {
    return this.readyState === this.OPEN
  }

  terminate(): void {
    this.readyState = 3
    this.emit('close')
  }
}

let bounds: StreamBounds
let nowMs: number
beforeEach(() => {
  nowMs = 0
  bounds = new StreamBounds({ nowMs: () => nowMs })
})
const asStream = (stream: CountedStream) => stream as unknown as WebSocket

interface CountedSocket extends EventEmitter {
  bytesRead: number
}
const sockets = new WeakMap<CountedStream, CountedSocket>()

function streamOf(ip: string): CountedStream {
  const stream = new CountedStream()
  const socket = Object.assign(new EventEmitter(), { bytesRead: 0 })
  sockets.set(stream, socket)
  bounds.opened(asStream(stream), socket as unknown as Socket, ip, 0)
  return stream
}

/** @returns whether it has a place as an agent */
function joins(ip: string): boolean {
  const stream = streamOf(ip)
  const hasPlace = bounds.named(asStream(stream))
  if (hasPlace) bounds.takesPart(asStream(stream))
  else stream.terminate()
  return hasPlace
}
const joining = (ip: string, count: number) => {
  let places = 0
  for (let n = 0; n < count; n++) if (joins(ip)) places++
  return places
}

describe('agents that take part', () => {
  it('are 10,000 from one address, and 20,000 from all', () => {
    expect(joining('10.0.0.1', 10_001)).toBe(10_000)
    expect(joining('10.0.0.2', 1)).toBe(1)
    expect(joining('10.0.0.3', 10_000)).toBe(9_999)
    expect(joining('10.0.0.4', 1)).toBe(0)
  })

  it('keep their place, which one that only said hello gives up', () => {
    const idle = streamOf('10.0.0.1')
    expect(bounds.named(asStream(idle))).toBe(true)
    expect(joining('10.0.0.1', 9_999)).toBe(9_999)
    expect(idle.isOpen).toBe(true)
    expect(joins('10.0.0.1')).toBe(true)
    expect(idle.isOpen).toBe(false)
    expect(joins('10.0.0.1')).toBe(false)
  })
})

const openIn = (streams: readonly CountedStream[]) => streams.filter(({ isOpen }) => isOpen).length

describe('streams that have not said who they are', () => {
  it('are 1,024 from one address and 2,048 from all: who has waited longest, where there are most, gives way', () => {
    const open = (ip: string, count: number) => Array.from({ length: count }, () => streamOf(ip))
    const crowd = open('10.0.0.1', 1_024)
    expect(openIn(crowd)).toBe(1_024)
    open('10.0.0.1', 1)
    expect([crowd[0]!.isOpen, openIn(crowd)]).toEqual([false, 1_023])
    const others = open('10.0.0.2', 1_000)
    expect([openIn(crowd), openIn(others)]).toEqual([1_023, 1_000])
    const more = open('10.0.0.3', 25)
    expect([openIn(crowd), openIn(others), openIn(more)]).toEqual([1_022, 1_000, 25])
  })
})

describe('frames that are not finished', () => {
  const KIB = 1024
  function named(ip: string): CountedStream {
    const stream = streamOf(ip)
    bounds.named(asStream(stream))
    return stream
  }
  function receives(stream: CountedStream, bytes: number): void {
    const socket = sockets.get(stream)!
    socket.bytesRead += bytes
    socket.emit('data')
  }
  const receiving = (ip: string, count: number) =>
    Array.from({ length: count }, () => {
      const stream = named(ip)
      receives(stream, 128 * KIB)
      return stream
    })

  it('hold 16 MiB from one address, and 32 MiB in all', () => {
    expect(openIn(receiving('10.0.0.1', 129))).toBe(128)
    expect(bounds.unfinishedBytes).toBe(16 * MIB)
    const others = receiving('10.0.0.2', 64)
    expect(openIn(others)).toBe(64)
    expect(openIn(receiving('10.0.0.3', 80))).toBe(80)
    expect(bounds.unfinishedBytes).toBe(32 * MIB)
    expect(openIn(others)).toBe(64)
  })

  it('hold nothing any more when they are finished', () => {
    const [stream] = receiving('10.0.0.1', 1)
    bounds.finished(asStream(stream!))
    expect([bounds.unfinishedBytes, stream!.isOpen]).toEqual([0, true])
  })

  it('may take ten seconds', () => {
    const [stream] = receiving('10.0.0.1', 1)
    nowMs = 9_999
    bounds.look(asStream(stream!))
    expect(stream!.isOpen).toBe(true)
    nowMs = 10_000
    bounds.look(asStream(stream!))
    expect(stream!.isOpen).toBe(false)
  })

  it('are 8 KiB long before hello', () => {
    const stream = streamOf('10.0.0.1')
    receives(stream, 8 * KIB)
    expect(stream.isOpen).toBe(true)
    receives(stream, 1)
    expect(stream.isOpen).toBe(false)
  })
})

describe('what is said', () => {
  const says = (stream: CountedStream, cost: number) => bounds.heard(asStream(stream), cost)

  it('of a stream may be 8,400 swarms at once; beyond, it is read later', () => {
    const stream = streamOf('10.0.0.1')
    for (let n = 0; n < 8; n++) says(stream, 1_000)
    expect(stream.isPaused).toBe(false)
    says(stream, 401)
    expect(stream.isPaused).toBe(true)
    stream.terminate()
  })

  it('from one address may be 200,000 swarms at once, and elsewhere nobody waits for that', () => {
    const streams = Array.from({ length: 25 }, () => streamOf('10.0.0.1'))
    const last = streams.pop()!
    for (const stream of streams) says(stream, 8_000)
    expect(streams.filter(({ isPaused }) => isPaused)).toHaveLength(0)
    says(last, 8_001)
    expect(last.isPaused).toBe(true)
    const elsewhere = streamOf('10.0.0.2')
    says(elsewhere, 8_000)
    expect(elsewhere.isPaused).toBe(false)
    last.terminate()
  })

  it('ends the stream of who is ten seconds ahead of what it may say', () => {
    const stream = streamOf('10.0.0.1')
    says(stream, 8_400 + 19_000)
    expect(stream.isOpen).toBe(true)
    says(stream, 2_000)
    expect(stream.isOpen).toBe(false)
  })
})

describe('what is left unread', () => {
  function leaves(stream: CountedStream, bytes: number): boolean {
    stream.bufferedAmount = bytes
    return bounds.maySend(asStream(stream))
  }
  const leaving = (ip: string, count: number, bytes: number) =>
    Array.from({ length: count }, () => {
      const stream = streamOf(ip)
      leaves(stream, bytes)
      return stream
    })

  it('is 8 MiB on one stream, which is closed', () => {
    const stream = streamOf('10.0.0.1')
    expect(leaves(stream, 8 * MIB)).toBe(true)
    expect(leaves(stream, 8 * MIB + 1)).toBe(false)
    expect(stream.isOpen).toBe(false)
  })

  it('is 64 MiB from one address: whoever leaves most there is closed, and nobody elsewhere', () => {
    const [elsewhere] = leaving('10.0.0.2', 1, 8 * MIB)
    const streams = leaving('10.0.0.1', 16, 4 * MIB)
    expect(openIn(streams)).toBe(16)
    const [greedy] = leaving('10.0.0.1', 1, 5 * MIB)
    expect(greedy!.isOpen).toBe(false)
    expect(openIn(streams)).toBe(16)
    expect(elsewhere!.isOpen).toBe(true)
  })

  it('is 192 MiB in all: the address that leaves most gives way', () => {
    const few = leaving('10.0.0.1', 1, 8 * MIB)
    const streams = [2, 3].flatMap((n) => leaving(`10.0.0.${n}`, 8, 8 * MIB))
    const less = leaving('10.0.0.4', 7, 8 * MIB)
    expect(openIn([...few, ...streams, ...less])).toBe(24)
    const [late] = leaving('10.0.0.5', 1, 1)
    expect(openIn(streams)).toBe(15)
    expect(openIn([...few, ...less, late!])).toBe(9)
  })

  it('is nobody’s any more when it is read, or the stream is closed', () => {
    const streams = leaving('10.0.0.1', 8, 8 * MIB)
    leaves(streams[0]!, 0)
    streams[1]!.terminate()
    expect(openIn(leaving('10.0.0.1', 2, 8 * MIB))).toBe(2)
    expect(openIn(streams)).toBe(7)
  })
})
