/**
 * Goal: every push that was taken in is worked upon, once where nothing fails and at least once where something does, by one
 * replica at a time, in the right order, within the bounds; whatever crashes, and whenever.
 * Method: replicas over one store in memory and a virtual clock; crashes after every single request to the store; random
 * sequences of deliveries, failures and crashes against a model.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FilesystemObjectStore } from '@shoal/storage'
import fc from 'fast-check'
import { pino } from 'pino'
import { describe, expect, it, test } from 'vitest'
import { TriggerQueueFullError } from './errors.ts'
import { EVENT_QUEUE_DEFAULTS, type EventHandler, EventQueue, type EventQueueInit } from './event-queue.ts'
import type { JudgeFailure } from './failure-verdict.ts'
import { createPushEvent, type PushEvent } from './push-event.ts'
import { MemoryObjects, type ObjectsView } from './testing/memory-objects.ts'
import { settled, VirtualClock } from './testing/virtual-clock.ts'

const SECOND_MS = 1_000
const HOUR_MS = 3_600 * SECOND_MS
const DAY_MS = 24 * HOUR_MS
const log = pino({ level: 'silent' })

function push(id: string, repository = 'team/app', tag = 'v1', occurredAtMs?: number): PushEvent {
  return createPushEvent({
    source: 'distribution',
    id,
    registryHost: 'r.example',
    repository,
    tag,
    occurredAtMs,
  })
}

/** A handler under way. */
interface Running {
  readonly event: PushEvent
  readonly replica: string
  readonly signal: AbortSignal
  readonly startedAtMs: number
  end(error?: Error): void
}

class Cluster {
  readonly objects = new MemoryObjects()
  readonly clock = new VirtualClock()
  /** Ids in the order in which handlers began. */
  readonly begun: string[] = []
  readonly running: Running[] = []
  /** What a handler does at once; undefined lets it run until the test ends it. */
  verdict: ((event: PushEvent) => 'done' | Error) | undefined = () => 'done'
  judge: JudgeFailure = () => ({ kind: 'try-again' })
  #replicas = 0

  replica(init: Partial<EventQueueInit> = {}): Replica {
    const owner = `replica-${++this.#replicas}`
    const view = this.objects.view()
    const judge: JudgeFailure = (error) => this.judge(error)
    const parts = { objects: view, clock: this.clock, random: () => 1, judge, log }
    const queue = new EventQueue(parts, { ...EVENT_QUEUE_DEFAULTS, owner, ...init })
    return { queue, view, start: () => queue.start(this.#handler(owner)) }
  }

  started(init?: Partial<EventQueueInit>): Replica {
    const replica = this.replica(init)
    replica.start()
    return replica
  }

  advance(durationMs: number): Promise<void> {
    return this.clock.advance(durationMs)
  }

  /** Keys that are left over when nothing waits. */
  leftovers(): string[] {
    return this.objects.keys('events/pending/')
  }

  #handler(replica: string): EventHandler {
    return async (event, signal) => {
      this.begun.push(event.id)
      const verdict = this.verdict?.(event)
      if (verdict instanceof Error) throw verdict
      if (verdict === 'done') return
      await new Promise<void>((resolve, reject) => {
        const running: Running = {
          event,
          replica,
          signal,
          startedAtMs: this.clock.nowMs(),
          end: (error) => {
            this.running.splice(this.running.indexOf(running), 1)
            if (error === undefined) resolve()
            else reject(error)
          },
        }
        signal.addEventListener('abort', () => running.end(new Error('aborted')))
        this.running.push(running)
      })
    }
  }
}

interface Replica {
  readonly queue: EventQueue
  readonly view: ObjectsView
  start(): void
}

const ids = (running: readonly Running[]) => running.map(({ event }) => event.id)

describe('an event', () => {
  it('is worked upon once, however often it is delivered while it waits, runs and is done', async () => {
    const cluster = new Cluster()
    const { queue, start } = cluster.replica()
    expect(await queue.add([push('1'), push('1')])).toEqual({ added: 1, known: 1, outdated: 0 })
    expect(await queue.add([push('1')])).toEqual({ added: 0, known: 1, outdated: 0 })
    cluster.verdict = undefined
    start()
    await cluster.advance(0)
    expect((await queue.add([push('1')])).known).toBe(1)
    cluster.running[0]!.end()
    await cluster.advance(0)
    expect((await queue.add([push('1')])).known).toBe(1)
    await cluster.advance(DAY_MS - 1)
    expect((await queue.add([push('1')])).known).toBe(1)
    expect(cluster.begun).toEqual(['1'])
    await cluster.advance(1)
    expect((await queue.add([push('1')])).added).toBe(1)
    await queue.stop()
  })

  it('that nothing can mend is given up at its first failure, with the reason', async () => {
    const cluster = new Cluster()
    cluster.verdict = () => new Error('the manifest is none')
    cluster.judge = () => ({ kind: 'give-up' })
    const { queue } = cluster.started()
    await queue.add([push('1')])
    await cluster.advance(DAY_MS / 2)
    expect(cluster.begun).toEqual(['1'])
    expect(await queue.failed(10)).toMatchObject([{ reason: 'the manifest is none', attempts: 1 }])
    await queue.stop()
  })

  it.each([
    ['longer than the backoff', HOUR_MS, HOUR_MS],
    ['shorter than the backoff', 1_000, 5_000],
  ])('of a registry that names a wait, %s, waits the longer of the two', async (_what, namedMs, waitMs) => {
    const cluster = new Cluster()
    cluster.verdict = () => new Error('429')
    const untilMs = cluster.clock.nowMs() + namedMs
    cluster.judge = () => ({ kind: 'try-again', notBeforeMs: untilMs })
    const { queue } = cluster.started()
    await queue.add([push('1')])
    await cluster.advance(waitMs - 1)
    expect(cluster.begun).toHaveLength(1)
    await cluster.advance(1)
    expect(cluster.begun).toHaveLength(2)
    await queue.stop()
  })

  it('is one event also when two replicas are told at the same moment', async () => {
    const cluster = new Cluster()
    const replicas = [cluster.started(), cluster.started(), cluster.started()]
    await Promise.all(replicas.map(({ queue }) => queue.add([push('1')])))
    await cluster.advance(HOUR_MS)
    expect(cluster.begun).toEqual(['1'])
    expect(cluster.leftovers()).toEqual([])
  })

  it('that one replica has done while another was about to take it in is not done again', async () => {
    const cluster = new Cluster()
    const [quick, slow] = [cluster.started(), cluster.replica()]
    let open = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    let looks = 0
    slow.view.fault = (doing, key) => {
      // It has seen that the id is unknown, and is held up before it says that it takes it.
      return doing === 'read' && key.startsWith('events/done/') && ++looks === 2 ? gate : undefined
    }
    const adding = slow.queue.add([push('1')])
    await quick.queue.add([push('1')])
    await cluster.advance(0)
    expect(cluster.begun).toEqual(['1'])
    open()
    expect(await adding).toEqual({ added: 0, known: 1, outdated: 0 })
    await cluster.advance(HOUR_MS)
    expect(cluster.begun).toEqual(['1'])
  })

  it('that comes back under its key after it was done is put away', async () => {
    const cluster = new Cluster()
    const { queue, start } = cluster.replica()
    await queue.add([push('1')])
    const [key] = cluster.leftovers()
    const { bytes } = cluster.objects.objects.get(key!)!
    start()
    await cluster.advance(0)
    // As by another replica that had read the id's record before.
    cluster.objects.put(key!, bytes, { ifAbsent: true })
    await cluster.advance(HOUR_MS)
    expect(cluster.begun).toEqual(['1'])
    expect(cluster.leftovers()).toEqual([])
  })

  it('that another replica took in is found within a look', async () => {
    const cluster = new Cluster()
    const taker = cluster.replica()
    cluster.started({ lookMs: 15 * SECOND_MS })
    await cluster.advance(0)
    await taker.queue.add([push('1')])
    await cluster.advance(15 * SECOND_MS)
    expect(cluster.begun).toEqual(['1'])
  })

  it('waits for its queue to be started', async () => {
    const cluster = new Cluster()
    await cluster.replica().queue.add([push('1')])
    await cluster.advance(HOUR_MS)
    expect(cluster.begun).toEqual([])
    cluster.started()
    await cluster.advance(0)
    expect(cluster.begun).toEqual(['1'])
  })
})

describe('order', () => {
  it('the oldest first, as many at once as may, one at a time per repository', async () => {
    const cluster = new Cluster()
    cluster.verdict = undefined
    const { queue, start } = cluster.replica({ atOnceMax: 2 })
    for (const [index, repository] of ['a', 'a', 'b', 'c'].entries()) {
      await queue.add([push(String(index), repository, `tag-${index}`)])
      await cluster.advance(1)
    }
    start()
    await cluster.advance(0)
    expect(ids(cluster.running)).toEqual(['0', '2'])
    cluster.running[1]!.end()
    await cluster.advance(0)
    expect(ids(cluster.running)).toEqual(['0', '3'])
    cluster.running[0]!.end()
    await cluster.advance(0)
    expect(ids(cluster.running)).toEqual(['3', '1'])
  })

  it('also between replicas there is one at a time per repository', async () => {
    const cluster = new Cluster()
    cluster.verdict = undefined
    const replicas = [cluster.started(), cluster.started()]
    for (let n = 0; n < 6; n++) await replicas[n % 2]!.queue.add([push(String(n), 'a', `tag-${n}`)])
    for (let n = 0; n < 6; n++) {
      await cluster.advance(20 * SECOND_MS)
      expect(cluster.running).toHaveLength(1)
      cluster.running[0]!.end()
    }
    await cluster.advance(20 * SECOND_MS)
    expect(cluster.begun.toSorted()).toEqual(['0', '1', '2', '3', '4', '5'])
  })
})

describe('the same tag pushed again', () => {
  it('replaces what waits and keeps its place in the line', async () => {
    const cluster = new Cluster()
    const { queue, start } = cluster.replica({ atOnceMax: 1 })
    await queue.add([push('1', 'a')])
    await cluster.advance(1)
    await queue.add([push('2', 'b')])
    await cluster.advance(1)
    expect((await queue.add([push('3', 'a')])).added).toBe(1)
    expect(await queue.pendingCount()).toBe(2)
    // The replaced one is done with: its sender may say it again.
    expect((await queue.add([push('1', 'a')])).known).toBe(1)
    start()
    await cluster.advance(0)
    expect(cluster.begun).toEqual(['3', '2'])
  })

  it('in one delivery the last counts; other tags, repositories and registries are others', async () => {
    const { queue } = new Cluster().replica()
    const other = createPushEvent({ ...push('5'), registryHost: 'other.example' })
    const events = [push('1'), push('2'), push('3', 'team/app', 'v2'), push('4', 'team/other'), other]
    expect(await queue.add(events)).toEqual({ added: 4, known: 0, outdated: 1 })
    expect(await queue.pendingCount()).toBe(4)
  })

  it('out of order is outdated, by the sender’s own clock', async () => {
    const cluster = new Cluster()
    const { queue, start } = cluster.replica()
    await queue.add([push('new', 'a', 'v1', 2_000)])
    expect(await queue.add([push('old', 'a', 'v1', 1_000)])).toEqual({ added: 0, known: 0, outdated: 1 })
    expect((await queue.add([push('newer', 'a', 'v1', 3_000)])).added).toBe(1)
    start()
    await cluster.advance(0)
    expect(cluster.begun).toEqual(['newer'])
  })

  it('while the first is worked upon, is worked upon after it, also when the first fails', async () => {
    for (const error of [undefined, new Error('away')]) {
      const cluster = new Cluster()
      cluster.verdict = undefined
      const { queue } = cluster.started()
      await queue.add([push('1')])
      await cluster.advance(0)
      await queue.add([push('2')])
      await cluster.advance(HOUR_MS)
      expect(ids(cluster.running)).toEqual(['1'])
      cluster.running[0]!.end(error)
      await cluster.advance(0)
      expect(ids(cluster.running)).toEqual(['2'])
      cluster.running[0]!.end()
      await cluster.advance(DAY_MS)
      expect(cluster.begun).toEqual(['1', '2'])
      expect(cluster.leftovers()).toEqual([])
    }
  })
})

describe('failures', () => {
  it('are tried again after 5, 10, 20 … seconds, at most 10 minutes, also by a restarted seeder', async () => {
    const cluster = new Cluster()
    const startedAtMs = cluster.clock.nowMs()
    const begunAtMs: number[] = []
    cluster.verdict = () => {
      begunAtMs.push((cluster.clock.nowMs() - startedAtMs) / SECOND_MS)
      return begunAtMs.length < 12 ? new Error('away') : 'done'
    }
    const first = cluster.started()
    await first.queue.add([push('1')])
    await cluster.advance(40 * SECOND_MS)
    expect(begunAtMs).toEqual([0, 5, 15, 35])
    await first.queue.stop()
    cluster.started()
    await cluster.advance(2 * HOUR_MS)
    const waits = begunAtMs.map((atMs, index) => atMs - (begunAtMs[index - 1] ?? 0)).slice(1)
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600])
    expect(cluster.leftovers()).toEqual([])
  })

  it('do not hold up other tags of the repository', async () => {
    const cluster = new Cluster()
    cluster.verdict = ({ tag }) => (tag === 'bad' ? new Error('away') : 'done')
    const { queue } = cluster.started()
    await queue.add([push('1', 'a', 'bad'), push('2', 'a', 'good')])
    await cluster.advance(0)
    expect(cluster.begun.toSorted()).toEqual(['1', '2'])
  })

  it('cost little while they wait: an event that rests is not read again until it is due', async () => {
    const cluster = new Cluster()
    cluster.verdict = () => new Error('away')
    const { queue, view } = cluster.started({ attemptsMax: 1_000 })
    await queue.add(Array.from({ length: 50 }, (_, n) => push(String(n), `r${n}`)))
    await cluster.advance(HOUR_MS)
    let reads = 0
    view.fault = (doing) => {
      if (doing === 'read') reads++
    }
    const begunBefore = cluster.begun.length
    await cluster.advance(10 * 60 * SECOND_MS)
    expect(cluster.begun.length - begunBefore).toBe(50)
    // The event, its id, and the claim; some are postponed and read once more.
    expect(reads).toBeLessThan(50 * 6)
  })

  it('end in giving up, with the reason; the latest are kept; said again it is tried again', async () => {
    const cluster = new Cluster()
    cluster.verdict = ({ id }) => new Error(`no ${id}`)
    const { queue } = cluster.started({ attemptsMax: 3, failedMax: 2 })
    for (const id of ['1', '2', '3']) {
      await queue.add([push(id, 'a', id)])
      await cluster.advance(HOUR_MS)
    }
    expect(cluster.begun).toEqual(['1', '1', '1', '2', '2', '2', '3', '3', '3'])
    expect(cluster.leftovers()).toEqual([])
    const failed = await queue.failed(10)
    expect(failed.map(({ reason, attempts }) => [reason, attempts])).toEqual([
      ['no 3', 3],
      ['no 2', 3],
    ])
    expect(failed[0]?.event).toEqual(push('3', 'a', '3'))
    expect(await queue.failed(1)).toHaveLength(1)
    cluster.verdict = () => 'done'
    expect((await queue.add([push('3', 'a', '3')])).added).toBe(1)
    await cluster.advance(0)
    expect(cluster.begun.at(-1)).toBe('3')
  })

  it('an event that takes its seeder down every time is given up as well', async () => {
    const cluster = new Cluster()
    cluster.verdict = undefined
    const init = { attemptsMax: 3 }
    await cluster.replica().queue.add([push('1')])
    for (let n = 0; n < 5; n++) {
      const { view } = cluster.started(init)
      await cluster.advance(2 * EVENT_QUEUE_DEFAULTS.leaseMs)
      view.crash()
    }
    expect(cluster.begun).toHaveLength(3)
    expect(await cluster.replica().queue.failed(10)).toMatchObject([{ event: { id: '1' }, attempts: 4 }])
  })

  it('a store that is away for a while delays, and loses nothing', async () => {
    const cluster = new Cluster()
    const { queue, view } = cluster.started()
    await queue.add([push('1')])
    view.fault = () => {
      throw new Error('no store')
    }
    await cluster.advance(HOUR_MS)
    await expect(queue.add([push('2', 'b')])).rejects.toThrow('no store')
    view.fault = () => {}
    await queue.add([push('2', 'b')])
    await cluster.advance(5 * EVENT_QUEUE_DEFAULTS.leaseMs)
    expect(new Set(cluster.begun)).toEqual(new Set(['1', '2']))
    expect(cluster.leftovers()).toEqual([])
  })

  it('bytes that are no event are passed over', async () => {
    const cluster = new Cluster()
    const { queue } = cluster.replica()
    await queue.add([push('1')])
    const [key] = cluster.leftovers()
    cluster.objects.put(key!, Buffer.from('{"event":{"repository":"../x"}}'))
    cluster.objects.put('events/pending/readme', Buffer.from('not ours'))
    for (const prefix of ['claims/0', 'done/x', 'failed/x'])
      cluster.objects.put(`events/${prefix}`, Buffer.from('{'))
    await queue.add([push('2', 'b')])
    cluster.started()
    await cluster.advance(HOUR_MS)
    expect(cluster.begun).toEqual(['2'])
    expect(cluster.leftovers()).toEqual(['events/pending/readme'])
    expect(await queue.failed(10)).toEqual([])
  })
})

describe('a folder as the store', () => {
  it('keeps an event through a restart, and its id afterwards', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-events-'))
    const open = async (owner: string) => {
      const objects = new FilesystemObjectStore({ folder })
      await objects.start()
      const judge: JudgeFailure = () => ({ kind: 'try-again' })
      const parts = { objects, clock: new VirtualClock(), random: () => 1, judge, log }
      return { objects, queue: new EventQueue(parts, { ...EVENT_QUEUE_DEFAULTS, owner }) }
    }
    const first = await open('first')
    expect((await first.queue.add([push('1'), push('2', 'b')])).added).toBe(2)
    const second = await open('second')
    const begun: string[] = []
    await new Promise<void>((resolve) =>
      second.queue.start(async ({ id }) => {
        if (begun.push(id) === 2) resolve()
      }),
    )
    await second.queue.stop()
    expect(begun.toSorted()).toEqual(['1', '2'])
    expect(await second.queue.pendingCount()).toBe(0)
    expect((await second.queue.add([push('1')])).known).toBe(1)
    await rm(folder, { recursive: true })
  })
})

describe('bounds', () => {
  it('a delivery of 1,000 events is taken in with some requests at once, never more', async () => {
    const cluster = new Cluster()
    const { queue, view } = cluster.replica()
    let [atOnce, atOnceMax] = [0, 0]
    view.fault = async () => {
      atOnceMax = Math.max(atOnceMax, ++atOnce)
      await new Promise<void>((resolve) => cluster.clock.after(20, resolve))
      atOnce--
    }
    const adding = queue.add(Array.from({ length: 1_000 }, (_, n) => push(String(n), 'a', `t${n}`)))
    await cluster.advance(8 * SECOND_MS)
    expect((await adding).added).toBe(1_000)
    expect(atOnceMax).toBe(16)
  })

  it('a full queue takes nothing of a delivery, but still what replaces; later it takes the delivery', async () => {
    const cluster = new Cluster()
    const { queue, start } = cluster.replica({ pendingMax: 3 })
    await queue.add([push('1', 'a'), push('2', 'b')])
    await expect(queue.add([push('3', 'c'), push('4', 'd')])).rejects.toThrow(TriggerQueueFullError)
    expect(await queue.pendingCount()).toBe(2)
    await queue.add([push('5', 'c')])
    await expect(queue.add([push('6', 'd')])).rejects.toThrow(TriggerQueueFullError)
    expect((await queue.add([push('7', 'a')])).added).toBe(1)
    expect((await queue.add([push('5', 'c')])).known).toBe(1)
    start()
    await cluster.advance(0)
    expect((await queue.add([push('3', 'c'), push('4', 'd')])).added).toBe(2)
  })

  it('ids that are done for long enough are forgotten, those that wait are not', async () => {
    const cluster = new Cluster()
    cluster.verdict = ({ repository }) => (repository === 'away' ? new Error('away') : 'done')
    const { queue } = cluster.started({ attemptsMax: 1_000_000 })
    for (let n = 0; n < 1_200; n += 100)
      await queue.add(Array.from({ length: 100 }, (_, i) => push(String(n + i), `r${i % 40}`, `t${n + i}`)))
    await queue.add([push('waits', 'away')])
    await cluster.advance(2 * DAY_MS)
    expect(cluster.objects.keys('events/done/')).toHaveLength(1)
    expect((await queue.add([push('waits', 'away')])).known).toBe(1)
    await queue.stop()
    expect(cluster.objects.keys('events/').length).toBeLessThan(50)
  })
})

describe('several replicas', () => {
  const { leaseMs } = EVENT_QUEUE_DEFAULTS

  it('a long piece of work stays with the one that began it', async () => {
    const cluster = new Cluster()
    cluster.verdict = undefined
    const replicas = [cluster.started(), cluster.started()]
    await replicas[0]!.queue.add([push('1')])
    await cluster.advance(10 * leaseMs)
    expect(cluster.running).toHaveLength(1)
    expect(cluster.running[0]!.signal.aborted).toBe(false)
    cluster.running[0]!.end()
    await cluster.advance(leaseMs)
    expect(cluster.begun).toEqual(['1'])
  })

  it('the work of one that crashed is taken over after its lease, not before', async () => {
    const cluster = new Cluster()
    cluster.verdict = undefined
    const first = cluster.started()
    await first.queue.add([push('1')])
    await cluster.advance(0)
    first.view.crash()
    cluster.started()
    await cluster.advance(leaseMs - 1)
    expect(cluster.begun).toEqual(['1'])
    await cluster.advance(EVENT_QUEUE_DEFAULTS.lookMs)
    expect(cluster.begun).toEqual(['1', '1'])
    expect(cluster.running.map(({ replica }) => replica)).toEqual(['replica-1', 'replica-2'])
  })

  it('a claim is free as soon as the work ends, also in the middle of a renewal', async () => {
    const cluster = new Cluster()
    cluster.verdict = undefined
    const first = cluster.started()
    await first.queue.add([push('1')])
    await cluster.advance(leaseMs / 3 - 1)
    first.view.fault = (_doing, key) =>
      key.startsWith('events/claims/')
        ? new Promise<void>((resolve) => cluster.clock.after(SECOND_MS, resolve))
        : undefined
    await cluster.advance(1)
    cluster.running[0]!.end()
    await cluster.advance(2 * SECOND_MS)
    const [claim] = cluster.objects.keys('events/claims/')
    expect(Buffer.from(cluster.objects.objects.get(claim!)!.bytes).toString()).toBe(
      '{"owner":"","untilMs":0}',
    )
  })

  it('one that cannot reach the store gives its work up before another begins it', async () => {
    const cluster = new Cluster()
    cluster.verdict = undefined
    const first = cluster.started()
    await first.queue.add([push('1')])
    await cluster.advance(0)
    const { signal } = cluster.running[0]!
    first.view.fault = () => {
      throw new Error('no store')
    }
    cluster.started()
    await cluster.advance(leaseMs - 1)
    expect(signal.aborted).toBe(true)
    expect(cluster.begun).toHaveLength(1)
    await cluster.advance(EVENT_QUEUE_DEFAULTS.lookMs)
    expect(ids(cluster.running)).toEqual(['1'])
  })
})

describe('stopping', () => {
  it('waits for the handlers, and what they finish is done', async () => {
    const cluster = new Cluster()
    cluster.verdict = undefined
    const { queue } = cluster.started()
    await queue.add([push('1'), push('2', 'b')])
    await cluster.advance(0)
    let isStopped = false
    const stopping = queue.stop().then(() => {
      isStopped = true
    })
    await cluster.advance(SECOND_MS)
    cluster.running[0]!.end()
    await settled()
    expect(isStopped).toBe(false)
    cluster.running[0]!.end()
    await stopping
    expect(cluster.leftovers()).toEqual([])
    expect(cluster.clock.timerCount).toBe(0)
  })

  it('aborts them after the grace; that was no attempt, and the next seeder begins at once', async () => {
    const cluster = new Cluster()
    cluster.verdict = undefined
    const init = { attemptsMax: 1 }
    const { queue } = cluster.started(init)
    await queue.add([push('1')])
    await cluster.advance(0)
    const stopping = queue.stop()
    await cluster.advance(EVENT_QUEUE_DEFAULTS.stopGraceMs)
    await stopping
    expect(cluster.clock.timerCount).toBe(0)
    cluster.verdict = () => 'done'
    cluster.started(init)
    await cluster.advance(0)
    expect(cluster.begun).toEqual(['1', '1'])
    expect(cluster.leftovers()).toEqual([])
  })

  it('a queue that never worked stops as well', async () => {
    const cluster = new Cluster()
    await cluster.replica().queue.stop()
    await cluster.started().queue.stop()
    expect(cluster.clock.timerCount).toBe(0)
  })
})

describe('crashes', () => {
  it('after any request to the store lose no event that was taken in', async () => {
    let requests = Number.POSITIVE_INFINITY
    for (let crashAfter = 0; crashAfter < requests; crashAfter++) {
      const cluster = new Cluster()
      const first = cluster.started()
      let count = 0
      first.view.fault = () => {
        if (count++ === crashAfter) first.view.crash()
      }
      let isTaken = false
      void first.queue.add([push('1'), push('2', 'b')]).then(() => {
        isTaken = true
      })
      await cluster.advance(0)
      if (count <= crashAfter) requests = count
      const second = cluster.started()
      // The sender was not answered, and says it again.
      if (!isTaken) await second.queue.add([push('1'), push('2', 'b')])
      await cluster.advance(10 * EVENT_QUEUE_DEFAULTS.leaseMs)
      expect(new Set(cluster.begun), `crash after ${crashAfter}`).toEqual(new Set(['1', '2']))
      expect(cluster.leftovers()).toEqual([])
      expect((await second.queue.add([push('1'), push('2', 'b')])).known).toBe(2)
    }
    expect(requests).toBeGreaterThan(15)
  })

  it('after any request while an event replaces another leave one of the two, also if nobody says it again', async () => {
    let requests = Number.POSITIVE_INFINITY
    for (let crashAfter = 0; crashAfter < requests; crashAfter++) {
      const cluster = new Cluster()
      const { queue, view } = cluster.replica()
      await queue.add([push('old')])
      let count = 0
      view.fault = () => {
        if (count++ === crashAfter) view.crash()
      }
      void queue.add([push('new')])
      await cluster.advance(0)
      if (count <= crashAfter) requests = count
      cluster.started()
      await cluster.advance(HOUR_MS)
      expect(cluster.begun.length, `crash after ${crashAfter}`).toBeGreaterThan(0)
      expect(cluster.leftovers()).toEqual([])
    }
    expect(requests).toBeGreaterThan(5)
  })

  test('a slow store and deliveries that cross each other: every event once, one at a time per repository', async () => {
    const delivery = fc.record({
      atMs: fc.nat(60 * SECOND_MS),
      replica: fc.nat(2),
      id: fc.nat(5),
      repository: fc.nat(1),
    })
    const latencyMs = fc.infiniteStream(fc.integer({ min: 0, max: 1_500 }))
    await fc.assert(
      fc.asyncProperty(
        fc.array(delivery, { minLength: 1, maxLength: 15 }),
        latencyMs,
        async (deliveries, latencies) => {
          const cluster = new Cluster()
          cluster.verdict = undefined
          const { clock } = cluster
          const later = (durationMs: number) =>
            new Promise<void>((resolve) => clock.after(durationMs, resolve))
          const replicas = Array.from({ length: 3 }, () => cluster.started())
          for (const { view } of replicas) view.fault = () => later(latencies.next().value)
          for (const { atMs, replica, id, repository } of deliveries) {
            const event = push(`${id}-${repository}`, `r${repository}`, `t${id}`)
            clock.after(atMs, () => void replicas[replica]!.queue.add([event]))
          }
          for (let second = 0; second < 300; second++) {
            await cluster.advance(SECOND_MS)
            const busy = cluster.running.map(({ event }) => event.repository)
            expect(new Set(busy).size).toBe(busy.length)
            for (const running of cluster.running.filter(
              ({ startedAtMs }) => startedAtMs + 4_000 < clock.nowMs(),
            ))
              running.end()
          }
          const expected = new Set(deliveries.map(({ id, repository }) => `${id}-${repository}`))
          expect(cluster.begun.toSorted()).toEqual([...expected].toSorted())
          expect(cluster.leftovers()).toEqual([])
        },
      ),
      { numRuns: 40 },
    )
  })

  type Step =
    | { readonly kind: 'push'; readonly replica: number; readonly repository: number; readonly tag: number }
    | { readonly kind: 'end'; readonly index: number; readonly isFailure: boolean }
    | { readonly kind: 'crash'; readonly replica: number }
    | { readonly kind: 'wait'; readonly seconds: number }
  const replica = fc.nat(2)
  const step = fc.oneof<fc.Arbitrary<Step>[]>(
    fc.record({ kind: fc.constant('push'), replica, repository: fc.nat(2), tag: fc.nat(1) }),
    fc.record({ kind: fc.constant('end'), index: fc.nat(5), isFailure: fc.boolean() }),
    fc.record({ kind: fc.constant('crash'), replica }),
    fc.record({ kind: fc.constant('wait'), seconds: fc.nat(90) }),
  )

  test('and failures in any order: the last push of every tag is worked upon, one at a time per repository', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const cluster = new Cluster()
        cluster.verdict = undefined
        const init = { atOnceMax: 2, attemptsMax: 100 }
        const replicas = Array.from({ length: 3 }, () => cluster.started(init))
        const crashed = new Set<string>()
        /** The model: the last id of every tag. */
        const last = new Map<string, string>()
        const live = () => cluster.running.filter((running) => !crashed.has(running.replica))
        const check = () => {
          const busy = live().map(({ event }) => event.repository)
          expect(new Set(busy).size).toBe(busy.length)
          expect(cluster.leftovers().length).toBeLessThanOrEqual(6)
        }
        let owners = 3
        const names = ['replica-1', 'replica-2', 'replica-3']
        let id = 0
        for (const next of steps) {
          if (next.kind === 'push') {
            const event = push(String(id++), `r${next.repository}`, `t${next.tag}`)
            last.set(`${event.repository}:${event.tag}`, event.id)
            await replicas[next.replica]!.queue.add([event])
          } else if (next.kind === 'end') {
            live()[next.index]?.end(next.isFailure ? new Error('away') : undefined)
          } else if (next.kind === 'crash') {
            replicas[next.replica]!.view.crash()
            crashed.add(names[next.replica]!)
            replicas[next.replica] = cluster.started(init)
            names[next.replica] = `replica-${++owners}`
          } else {
            await cluster.advance(next.seconds * SECOND_MS)
          }
          await settled()
          check()
        }
        for (let round = 0; round < 60 && (cluster.leftovers().length > 0 || live().length > 0); round++) {
          for (const running of live()) running.end()
          await cluster.advance(60 * SECOND_MS)
          check()
        }
        expect(cluster.leftovers()).toEqual([])
        for (const lastId of last.values()) expect(cluster.begun).toContain(lastId)
        if (crashed.size === 0 && !steps.some((s) => s.kind === 'end' && s.isFailure))
          expect(new Set(cluster.begun).size).toBe(cluster.begun.length)
      }),
      { numRuns: 60 },
    )
  })
})
