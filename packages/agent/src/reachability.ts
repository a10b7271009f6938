/**
 * Who reaches this agent and whom it reaches: asks the tracker for peers, dials them while they dial this agent, and dials
 * whoever else asked. One question at a time; who asks meanwhile, or just after, gets its answer.
 */
import { formatHostPort, type PeerAddress } from '@shoal/core'
import type { Dialled } from '@shoal/swarm'
import type { ReachabilityReport } from '@shoal/wire'
import type { Logger } from 'pino'
import type { Announcer, TriesAnswer } from './announcer.ts'

/** Longer than the tracker takes for a round. */
const ANSWER_TIMEOUT_MS = 4_000
const REPORT_AGE_MAX_MS = 2_000
/** For others, who ask through the tracker; it has few rounds at a time. */
const DIALS_FOR_OTHERS_MAX = 16

export interface ReachabilityParts {
  readonly announcer: Pick<Announcer, 'on' | 'isConnected' | 'canTryPeers' | 'tryPeers' | 'dialled'>
  readonly dialPeer: (peer: PeerAddress) => Promise<Dialled>
  readonly log: Logger
}

type Told = TriesAnswer & { readonly type: 'peers-to-try' }
type Tried = TriesAnswer & { readonly type: 'tried' }

interface Question {
  readonly id: number
  readonly answered: (report: ReachabilityReport) => void
  told: Told | undefined
  outgoing: Promise<readonly Dialled[]>
}

export class Reachability {
  readonly #parts: ReachabilityParts
  #nextId = 0
  #question: Question | undefined
  #asking: Promise<ReachabilityReport> | undefined
  #dialsForOthers = 0

  constructor(parts: ReachabilityParts) {
    this.#parts = parts
    parts.announcer.on('dial', (id, peer) => void this.#dialForOther(id, peer))
    parts.announcer.on('tries', (answer) => void this.#heard(answer))
    parts.announcer.on('closed', () =>
      this.#question?.answered({ kind: 'unavailable', reason: 'stream-closed' }),
    )
  }

  report(): Promise<ReachabilityReport> {
    this.#asking ??= this.#ask().finally(() => {
      setTimeout(() => {
        this.#asking = undefined
      }, REPORT_AGE_MAX_MS).unref()
    })
    return this.#asking
  }

  async #ask(): Promise<ReachabilityReport> {
    const { announcer } = this.#parts
    if (!announcer.isConnected) return { kind: 'unavailable', reason: 'stream-closed' }
    if (!announcer.canTryPeers) return { kind: 'unavailable', reason: 'unsupported' }
    const id = this.#nextId++
    const answer = new Promise<ReachabilityReport>((answered) => {
      this.#question = { id, answered, told: undefined, outgoing: Promise.resolve([]) }
    })
    const timer = setTimeout(
      () => this.#question?.answered({ kind: 'unavailable', reason: 'no-answer' }),
      ANSWER_TIMEOUT_MS,
    )
    announcer.tryPeers(id)
    try {
      return await answer
    } finally {
      clearTimeout(timer)
      this.#question = undefined
    }
  }

  async #heard(answer: TriesAnswer): Promise<void> {
    const question = this.#question
    // Nobody waits for it any more.
    if (question === undefined || question.id !== answer.id) return
    if (answer.type === 'try-refused') question.answered({ kind: 'unavailable', reason: 'busy' })
    else if (answer.type === 'tried') await this.#tried(question, answer)
    else if (question.told === undefined) {
      question.told = answer
      question.outgoing = Promise.all(answer.peers.map(({ peer }) => this.#parts.dialPeer(peer)))
    }
  }

  async #tried({ told, outgoing, answered }: Question, { tries }: Tried): Promise<void> {
    if (told === undefined) return
    const dialled = await outgoing
    const incoming = new Map(tries.map(({ peerId, outcome, ms }) => [peerId, { outcome, ms }]))
    answered({
      kind: 'tried',
      announced: { host: told.you.host, port: told.you.port },
      peers: told.peers.map(({ peer, name, zone }, position) => {
        const back = incoming.get(peer.peerId)
        return {
          ...peer,
          name,
          zone,
          outgoing: dialled[position]!,
          ...(back !== undefined && { incoming: back }),
        }
      }),
    })
  }

  /** Beyond what is bearable nothing is said: the tracker then tells that it does not know. */
  async #dialForOther(id: number, peer: PeerAddress): Promise<void> {
    const { announcer, dialPeer, log } = this.#parts
    if (this.#dialsForOthers >= DIALS_FOR_OTHERS_MAX) return
    this.#dialsForOthers++
    const dialled = await dialPeer(peer).finally(() => this.#dialsForOthers--)
    log.debug({ event: 'peer-tried', peer: formatHostPort(peer), ...dialled }, 'peer tried for another')
    announcer.dialled(id, dialled)
  }
}
