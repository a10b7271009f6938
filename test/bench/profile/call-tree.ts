/**
 * What V8 has sampled, as one tree of calls: processor time of a `.cpuprofile`, or bytes of a `.heapprofile`. Pure.
 *
 * Calls of one function by one caller are one frame, whatever line they came from.
 */

/** Where a function stands, as V8 says it; lines and columns from 0. */
export interface CallFrame {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
  readonly columnNumber: number
}

/** https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: CallFrame
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[]
}

/** https://chromedevtools.github.io/devtools-protocol/tot/HeapProfiler/#type-SamplingHeapProfile */
export interface HeapProfile {
  readonly head: HeapNode
}

export interface HeapNode {
  readonly callFrame: CallFrame
  /** Bytes. */
  readonly selfSize: number
  readonly children: readonly HeapNode[]
}

export interface Frame {
  readonly name: string
  /** `packages/agent/src/agent.ts:12`, `fastify`, or empty for what is V8's own. */
  readonly where: string
  /** Milliseconds or bytes of this function itself. */
  self: number
  readonly children: Map<string, Frame>
}

export type Locate = (frame: CallFrame) => string

/** Not work: the process waits for something. */
const WAITING = '(idle)'

export function treeOfCpu({ nodes, samples, timeDeltas }: CpuProfile, locate: Locate): Frame {
  const selfMs = new Map<number, number>()
  samples.forEach((id, index) => {
    selfMs.set(id, (selfMs.get(id) ?? 0) + (timeDeltas[index] ?? 0) / 1000)
  })
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const root = rootFrame()
  const add = (id: number, parent: Frame) => {
    const node = byId.get(id)!
    if (node.callFrame.functionName === WAITING) return
    const frame = childOf(parent, node.callFrame, locate)
    frame.self += selfMs.get(id) ?? 0
    for (const child of node.children ?? []) add(child, frame)
  }
  for (const child of nodes[0]?.children ?? []) add(child, root)
  return root
}

export function treeOfHeap({ head }: HeapProfile, locate: Locate): Frame {
  const root = rootFrame()
  const add = (node: HeapNode, parent: Frame) => {
    const frame = childOf(parent, node.callFrame, locate)
    frame.self += node.selfSize
    for (const child of node.children) add(child, frame)
  }
  for (const child of head.children) add(child, root)
  return root
}

export function totalOf(frame: Frame): number {
  return frame.self + [...frame.children.values()].reduce((sum, child) => sum + totalOf(child), 0)
}

export interface Row {
  readonly name: string
  readonly where: string
  readonly self: number
  /** With all that it called; what calls itself counts once. */
  readonly total: number
}

/** One row a function, the most costly first. */
export function rowsOf(root: Frame): Row[] {
  const rows = new Map<string, { name: string; where: string; self: number; total: number }>()
  const above = new Set<string>()
  const visit = (frame: Frame): number => {
    const key = keyOf(frame)
    const row = rows.get(key) ?? { name: frame.name, where: frame.where, self: 0, total: 0 }
    rows.set(key, row)
    row.self += frame.self
    const isOutermost = !above.has(key)
    above.add(key)
    let total = frame.self
    for (const child of frame.children.values()) total += visit(child)
    if (isOutermost) {
      above.delete(key)
      row.total += total
    }
    return total
  }
  for (const child of root.children.values()) visit(child)
  return [...rows.values()].toSorted((a, b) => b.self - a.self)
}

/** What a file belongs to: a package of Shoal's, one of npm's, Node, or V8. */
export function roomOf(where: string): string {
  if (where === '') return 'V8'
  if (where.startsWith('node:')) return 'Node'
  return /^packages\/[^/]+/.exec(where)?.[0] ?? /^[^:]+/.exec(where)![0]
}

function rootFrame(): Frame {
  return { name: 'all', where: '', self: 0, children: new Map() }
}

function childOf(parent: Frame, callFrame: CallFrame, locate: Locate): Frame {
  const frame = {
    name: callFrame.functionName || '(anonymous)',
    where: locate(callFrame),
    self: 0,
    children: new Map(),
  }
  const key = keyOf(frame)
  const known = parent.children.get(key)
  if (known === undefined) parent.children.set(key, frame)
  return known ?? frame
}

function keyOf({ name, where }: Pick<Frame, 'name' | 'where'>): string {
  return `${name} ${where}`
}
