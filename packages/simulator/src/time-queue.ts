/**
 * Virtual time: what is to happen, in the order of (time, sequence), so that a run is the same every time. Pure.
 *
 * Most of what happens is a message after one of a few latencies. Such events come in the order in which they were made,
 * so each latency has a line of its own, which costs no more than a push; the heap is for the rest.
 */
import { assert } from '@shoal/core'

export interface Task {
  run(): void
}

export class TimeQueue {
  #nowMs = 0
  #sequence = 0
  #eventCount = 0
  readonly #heap = new Heap()
  readonly #lines = new Map<number, Line>()
  readonly #lineList: Line[] = []

  /** Milliseconds since the beginning; not whole. */
  get nowMs(): number {
    return this.#nowMs
  }

  get eventCount(): number {
    return this.#eventCount
  }

  at(atMs: number, task: Task): void {
    assert(atMs >= this.#nowMs, 'nothing happens in the past')
    this.#heap.push(atMs, this.#sequence++, task)
  }

  /** @param delayMs one of a few values: each has a line of its own */
  after(delayMs: number, task: Task): void {
    let line = this.#lines.get(delayMs)
    if (line === undefined) {
      assert(delayMs >= 0 && this.#lines.size < LINES_MAX, 'a line is for a latency that many share')
      line = new Line()
      this.#lines.set(delayMs, line)
      this.#lineList.push(line)
    }
    line.push(this.#nowMs + delayMs, this.#sequence++, task)
  }

  /** @returns false when nothing is left to happen before `untilMs` */
  runOne(untilMs: number): boolean {
    let from: Heap | Line = this.#heap
    let { headMs, headSequence } = this.#heap
    for (const line of this.#lineList) {
      if (line.headMs > headMs || (line.headMs === headMs && line.headSequence > headSequence)) continue
      from = line
      ;({ headMs, headSequence } = line)
    }
    if (headMs > untilMs || headMs === Number.POSITIVE_INFINITY) return false
    this.#nowMs = headMs
    this.#eventCount++
    from.take().run()
    return true
  }
}

const LINES_MAX = 16

/** First in, first out, in a ring that grows. */
class Line {
  #times = new Float64Array(1024)
  #sequences = new Float64Array(1024)
  #tasks: (Task | undefined)[] = new Array(1024)
  #head = 0
  #length = 0

  get headMs(): number {
    return this.#length === 0 ? Number.POSITIVE_INFINITY : this.#times[this.#head]!
  }

  get headSequence(): number {
    return this.#sequences[this.#head]!
  }

  push(atMs: number, sequence: number, task: Task): void {
    if (this.#length === this.#times.length) this.#grow()
    const tail = (this.#head + this.#length++) & (this.#times.length - 1)
    this.#times[tail] = atMs
    this.#sequences[tail] = sequence
    this.#tasks[tail] = task
  }

  take(): Task {
    const task = this.#tasks[this.#head]!
    this.#tasks[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#times.length - 1)
    this.#length--
    return task
  }

  #grow(): void {
    const size = this.#times.length
    const times = new Float64Array(2 * size)
    const sequences = new Float64Array(2 * size)
    const tasks: (Task | undefined)[] = new Array(2 * size)
    for (let i = 0; i < size; i++) {
      const from = (this.#head + i) & (size - 1)
      times[i] = this.#times[from]!
      sequences[i] = this.#sequences[from]!
      tasks[i] = this.#tasks[from]
    }
    this.#times = times
    this.#sequences = sequences
    this.#tasks = tasks
    this.#head = 0
  }
}

/** Four children a node: fewer levels, and their keys lie side by side. */
const ARITY = 4

class Heap {
  #times = new Float64Array(1024)
  #sequences = new Float64Array(1024)
  readonly #tasks: Task[] = []

  get headMs(): number {
    return this.#tasks.length === 0 ? Number.POSITIVE_INFINITY : this.#times[0]!
  }

  get headSequence(): number {
    return this.#sequences[0]!
  }

  push(atMs: number, sequence: number, task: Task): void {
    if (this.#tasks.length === this.#times.length) this.#grow()
    let child = this.#tasks.length
    this.#tasks.push(task)
    while (child > 0) {
      const parent = Math.floor((child - 1) / ARITY)
      const parentMs = this.#times[parent]!
      if (parentMs < atMs || (parentMs === atMs && this.#sequences[parent]! < sequence)) break
      this.#move(parent, child)
      child = parent
    }
    this.#put(child, atMs, sequence, task)
  }

  take(): Task {
    const first = this.#tasks[0]!
    const last = this.#tasks.pop()!
    const length = this.#tasks.length
    if (length === 0) return first
    const atMs = this.#times[length]!
    const sequence = this.#sequences[length]!
    let parent = 0
    for (;;) {
      let child = parent * ARITY + 1
      if (child >= length) break
      const end = Math.min(child + ARITY, length)
      for (let other = child + 1; other < end; other++) if (this.#isBefore(other, child)) child = other
      const childMs = this.#times[child]!
      if (childMs > atMs || (childMs === atMs && this.#sequences[child]! > sequence)) break
      this.#move(child, parent)
      parent = child
    }
    this.#put(parent, atMs, sequence, last)
    return first
  }

  #isBefore(a: number, b: number): boolean {
    const [one, other] = [this.#times[a]!, this.#times[b]!]
    return one < other || (one === other && this.#sequences[a]! < this.#sequences[b]!)
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#times[from]!, this.#sequences[from]!, this.#tasks[from]!)
  }

  #put(at: number, atMs: number, sequence: number, task: Task): void {
    this.#times[at] = atMs
    this.#sequences[at] = sequence
    this.#tasks[at] = task
  }

  #grow(): void {
    const [times, sequences] = [this.#times, this.#sequences]
    this.#times = new Float64Array(2 * times.length)
    this.#sequences = new Float64Array(2 * times.length)
    this.#times.set(times)
    this.#sequences.set(sequences)
  }
}
