/** Whether the port for other agents is open, and where they could find it. */
import { connect } from 'node:net'
import { formatHostPort, type HostPort, isLoopback } from '@shoal/core'
import { type Finding, failure, ok, skipped, warning } from '../check-result.ts'
import { numericAddress } from '../look-at-agent.ts'

const CONNECT_TIMEOUT_MS = 2_000

/** @returns `open`, or the system's word: `ECONNREFUSED`, `TIMEOUT`. Never throws */
export async function tryPort(listen: HostPort): Promise<string> {
  const address = await numericAddress(listen)
  if ('problem' in address) return address.problem
  return new Promise((resolve) => {
    const socket = connect(address)
    const settle = (result: string) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const timer = setTimeout(() => settle('TIMEOUT'), CONNECT_TIMEOUT_MS)
    socket.once('connect', () => settle('open'))
    socket.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? 'UNKNOWN'))
  })
}

/**
 * @param port of `tryPort`
 * @param isSeederHere whether the seeder is at a loopback address, so that all of the cluster is on this machine
 */
export function judgePeerPort(
  port: string,
  listen: HostPort,
  about: { readonly agent: 'running' | 'stopped' | 'unknown'; readonly isSeederHere: boolean },
): Finding {
  const where = formatHostPort(listen)
  const measured = { peerListen: where, port }
  if (about.agent === 'unknown') return skipped('no agent answers at its registry port')
  if (about.agent === 'stopped') {
    if (port !== 'open') return skipped('the agent is not running')
    return failure(
      `another program listens at ${where}, so the agent cannot start`,
      `See which it is (ss -ltnp 'sport = :${listen.port}'), and give one of the two another port, the agent by \`peerListen\`.`,
      measured,
    )
  }
  if (port !== 'open')
    return failure(
      `the agent runs, and its peer port ${where} does not answer (${port})`,
      'See whether a firewall on this node drops packets to itself; restart the agent.',
      measured,
    )
  if (isLoopback(listen.host) && !about.isSeederHere)
    return warning(
      `open at ${where}, where no other node can reach it`,
      'Set `peerListen` to this node’s own address, or 0.0.0.0:6001.',
      measured,
    )
  return ok(`open at ${where}`, measured)
}
