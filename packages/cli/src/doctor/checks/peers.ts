/** Who reaches this node, and whom it reaches. Pure. */
import { formatHostPort } from '@shoal/core'
import type { ReachabilityReport } from '@shoal/wire'
import { type Finding, failure, ok, skipped, together, warning } from '../check-result.ts'
import { counted } from './quantities.ts'

type Tried = Extract<ReachabilityReport, { kind: 'tried' }>
type Peer = Tried['peers'][number]

const OUTCOMES = {
  reached: 'reached',
  refused: 'nothing listens there',
  silent: 'no answer within 2 s',
  unreachable: 'no way there',
  stranger: 'something is there, and does not answer as this peer',
  unreached: 'why is not told',
} as const

export function judgePeers(report: ReachabilityReport): Finding {
  if (report.kind === 'unavailable') return unavailable(report.reason)
  const { announced, peers } = report
  const agents = peers.filter(({ role }) => role === 'agent')
  const measured = { announced: formatHostPort(announced), peers }
  const findings = [...outgoingOf(peers), ...incomingOf(peers, measured.announced)]
  if (findings.length > 0) return together(findings, measured)
  const latest = Math.max(...peers.map(({ outgoing }) => outgoing.ms))
  // It tries only those that announce the address that they come from.
  const isTriedBySeeder = peers.some(({ role, incoming }) => role === 'seeder' && incoming !== undefined)
  if (agents.length === 0)
    return ok(
      `the seeder is reached${isTriedBySeeder ? ' both ways' : ''} (${latest} ms); no other agent is connected to it now`,
      measured,
    )
  const silent = agents.filter(({ incoming }) => incoming === undefined)
  const both = isTriedBySeeder
    ? `${counted(agents.length, 'agent')} and the seeder reached both ways, in ${latest} ms at most`
    : `${counted(agents.length, 'agent')} reached both ways and the seeder one, in ${latest} ms at most`
  if (silent.length === 0) return ok(both, measured)
  return warning(
    `${counted(agents.length, 'agent')} and the seeder are reached; ${namesOf(silent)} did not say whether this node is`,
    'Try again: they may just have been busy or stopping.',
    measured,
  )
}

function unavailable(reason: Extract<ReachabilityReport, { kind: 'unavailable' }>['reason']): Finding {
  switch (reason) {
    case 'stream-closed':
      return skipped('the announce stream is closed')
    case 'unsupported':
      return skipped('the seeder is of a version that cannot try peers')
    case 'busy':
      return warning('too many nodes ask for this at once', 'Try again in some seconds.')
    case 'no-answer':
      return warning('the tracker did not answer in time', 'Try again; see the seeder’s log if it stays so.')
  }
}

function outgoingOf(peers: readonly Peer[]): Finding[] {
  const failed = peers.filter(({ outgoing }) => outgoing.outcome !== 'reached')
  const agents = peers.filter(({ role }) => role === 'agent')
  const failedAgents = failed.filter(({ role }) => role === 'agent')
  const seeder = failed.find(({ role }) => role === 'seeder')
  return [
    ...(seeder === undefined
      ? []
      : [
          failure(
            `this node does not reach the seeder’s peer port ${told(seeder, seeder.outgoing)}`,
            'Set the seeder’s `peerListen` to an address that nodes reach, and open that port in firewalls and network policies.',
          ),
        ]),
    ...severity(
      failedAgents,
      agents,
      `this node does not reach ${failedAgents.map((peer) => told(peer, peer.outgoing)).join(', ')}`,
      'Open the agents’ peer port (6001) between nodes, in firewalls and network policies; run `shoal doctor` on those nodes.',
    ),
  ]
}

function incomingOf(peers: readonly Peer[], announced: string): Finding[] {
  const asked = peers.filter(({ incoming }) => incoming !== undefined)
  const failed = asked.filter(({ incoming }) => incoming!.outcome !== 'reached')
  const agents = failed.filter(({ role }) => role === 'agent')
  const advice = `Others are told to find this node at ${announced}: set \`peerListen\` if that is not its address, and open the port in firewalls and network policies.`
  const why = failed.map((peer) => `${nameOf(peer)}: ${OUTCOMES[peer.incoming!.outcome]}`).join(', ')
  // Seeders never begin a connection by themselves: theirs only foretells what other agents would meet.
  if (agents.length === 0 && failed.length > 0)
    return [warning(`the seeder does not reach this node at ${announced} (${why})`, advice)]
  return severity(
    agents,
    asked.filter(({ role }) => role === 'agent'),
    `this node is not reached at ${announced} (${why})`,
    advice,
  )
}

/** All of them is this node's trouble; some of them may be theirs. */
function severity(failed: readonly Peer[], all: readonly Peer[], message: string, advice: string): Finding[] {
  if (failed.length === 0) return []
  return [failed.length === all.length ? failure(message, advice) : warning(message, advice)]
}

function told(peer: Peer, { outcome }: Peer['outgoing']): string {
  const where = formatHostPort(peer)
  return peer.role === 'seeder'
    ? `${where} (${OUTCOMES[outcome]})`
    : `${nameOf(peer)} at ${where} (${OUTCOMES[outcome]})`
}

function nameOf({ role, name, host, port }: Peer): string {
  if (role === 'seeder') return 'the seeder'
  return name === '' ? formatHostPort({ host, port }) : name
}

function namesOf(peers: readonly Peer[]): string {
  return peers.map(nameOf).join(', ')
}
