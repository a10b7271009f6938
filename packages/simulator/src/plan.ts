/** Draws a scenario's chances: who comes when, who is slow, who dies and when. Pure; every strategy is given the same. */
import { createPrng, type Prng } from '@shoal/core'
import { boundSeconds, type Scenario } from './scenario.ts'

export interface NodePlan {
  readonly index: number
  readonly zone: number
  /** When its client asks; undefined where that is when the wave before has finished. */
  readonly startMs: number | undefined
  readonly wave: number
  readonly linkBytesPerMs: number
  readonly diesAtMs: number | undefined
  /** How it dies: its connections are closed by its kernel, or it falls silent. */
  readonly isDeathHeard: boolean
  readonly isBlackHole: boolean
}

export function planNodes(scenario: Scenario): NodePlan[] {
  const prng = createPrng(scenario.seed)
  const { nodes, slow, dying, blackHoles, arrivals, zones } = scenario
  const boundMs = boundSeconds(scenario) * 1000
  const slowNodes = chosen(prng, nodes, slow?.share ?? 0)
  const dyingNodes = chosen(prng, nodes, dying)
  const blackHoleNodes = chosen(prng, nodes, blackHoles)
  const waves = arrivals.kind === 'waves' ? Math.ceil(1 / arrivals.share) : 1
  const order = prng.shuffled(Array.from({ length: nodes }, (_, index) => index))
  const waveOf = new Map(order.map((index, place) => [index, Math.floor((place * waves) / nodes)]))
  const plans: NodePlan[] = []
  for (let index = 0; index < nodes; index++) {
    const wave = waveOf.get(index)!
    const comesAtMs = arrivals.kind === 'over' ? prng.next() * arrivals.seconds * 1000 : 0
    const diesAtMs = prng.next() * boundMs
    const isDeathHeard = prng.next() < 0.5
    plans.push({
      index,
      zone: index % zones.count,
      startMs: wave === 0 ? comesAtMs : undefined,
      wave,
      linkBytesPerMs: (scenario.linkBytesPerSecond / 1000) * (slowNodes.has(index) ? slow!.factor : 1),
      diesAtMs: dyingNodes.has(index) ? diesAtMs : undefined,
      isDeathHeard,
      isBlackHole: blackHoleNodes.has(index),
    })
  }
  return plans
}

function chosen(prng: Prng, count: number, share: number): Set<number> {
  const all = Array.from({ length: count }, (_, index) => index)
  return new Set(prng.shuffled(all).slice(0, Math.round(count * share)))
}
