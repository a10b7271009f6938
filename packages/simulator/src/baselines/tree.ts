/**
 * A binary tree: the seeder at the root, each node passes every piece on to two others as soon as it is here. Half of the
 * nodes send nothing, and the others' links carry everything twice. Whoever is below a node that dies gets nothing. Pure.
 */
import { pieceBytes, pieceCount, pieceLengthFor } from '@shoal/core'
import type { Pipe } from '../network.ts'
import type { Simulate } from '../simulation.ts'
import { type Member, Stage } from './stage.ts'

interface TreeNode extends Member {
  /** To those below. */
  readonly down: Pipe<never, number>[]
  readonly here: number[]
}

export const simulateTree: Simulate = (scenario, strategy, onProgress) => {
  const stage = new Stage<TreeNode>(scenario, strategy)
  const { queue, network, measure } = stage
  const pieces = scenario.layers.flatMap((length) => {
    const shape = { length, pieceLength: pieceLengthFor(length) }
    return Array.from({ length: pieceCount(shape) }, (_, index) => pieceBytes(shape, index))
  })
  const rootDown: Pipe<never, number>[] = []
  /** In the order in which they came: a place once taken is kept. */
  const placed: TreeNode[] = []

  const link = (child: TreeNode, place: number): void => {
    const parent = place < 2 ? undefined : placed[Math.floor(place / 2) - 1]!
    const from = parent === undefined ? ('seeder' as const) : ('peer' as const)
    const pipe = network.pipe<never, number>(parent?.host ?? stage.seeder, child.host, {
      onMessage: () => {},
      onBlockSent: () => {},
      onBlockArrived: (index) => {
        measure.received(from, pieces[index]!)
        child.here.push(index)
        if (!child.plan.isBlackHole) for (const below of child.down) below.sendBlock(index, pieces[index]!)
        if (child.here.length === pieces.length) stage.finished(child)
      },
    })
    const [list, here] =
      parent === undefined
        ? [rootDown, [...pieces.keys()]]
        : [parent.down, parent.plan.isBlackHole ? [] : parent.here]
    list.push(pipe)
    if (parent?.host.isDead || (parent === undefined && stage.isSeederDead)) return
    for (const index of here) pipe.sendBlock(index, pieces[index]!)
  }

  return stage.run(
    {
      create: (plan, host) => ({ plan, host, startedAtMs: undefined, isDone: false, down: [], here: [] }),
      start: (node) =>
        queue.at(queue.nowMs + 6 * scenario.latencyMs, {
          run: () => {
            if (!node.host.isDead) link(node, placed.push(node) - 1)
          },
        }),
      died: (node) => {
        for (const pipe of node.down) pipe.close()
      },
      seederDied: () => {
        for (const pipe of rootDown) pipe.close()
      },
    },
    onProgress,
  )
}
