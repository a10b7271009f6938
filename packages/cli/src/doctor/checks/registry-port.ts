/** Whether the agent answers where clients ask it, and nobody else. Pure. */
import { formatHostPort, type HostPort, isLoopback, parseHostPort } from '@shoal/core'
import { type Finding, failure, ok, warning } from '../check-result.ts'
import type { AgentSight } from '../look-at-agent.ts'
import { durationText } from './quantities.ts'

export function judgeRegistryPort(sight: AgentSight, listen: HostPort, isInPod: boolean): Finding {
  const where = formatHostPort(listen)
  switch (sight.kind) {
    case 'unresolved':
      return failure(
        `the name ${listen.host} in \`listen\` does not resolve (${sight.problem})`,
        'Write an address of this node, best 127.0.0.1.',
        { listen: where, problem: sight.problem },
      )
    case 'closed':
      return failure(
        `nothing listens at ${where}: the agent is not running`,
        'Start it (systemctl start shoal-agent, or see why its pod is not running), and read its log if it ends again. If it listens elsewhere, give this command the agent’s own settings.',
        { listen: where, port: 'free' },
      )
    case 'stranger':
      return failure(
        `something at ${where} is no agent of Shoal, or hangs (${sight.problem})`,
        `See which program it is (ss -ltnp 'sport = :${listen.port}'), and give one of the two another port, the agent by \`listen\`.`,
        { listen: where, port: 'taken', problem: sight.problem },
      )
    case 'other':
      return sight.service === 'seeder'
        ? failure(`a seeder listens at ${where}`, 'Give the agent another port by `listen`.', {
            listen: where,
            port: 'taken',
          })
        : failure(
            `what answers at ${where} does not know the questions of this version`,
            'Upgrade the agent, or run the `shoal doctor` that came with it.',
            { listen: where, port: 'taken' },
          )
    case 'refused':
      return failure(
        `the agent at ${where} tells strangers nothing, and takes this program for one`,
        'Run `shoal doctor` on the agent’s own node, or in its own pod.',
        { listen: where, port: 'agent' },
      )
    case 'answered':
      return answered(sight, isInPod)
  }
}

function answered({ status, tookMs }: Extract<AgentSight, { kind: 'answered' }>, isInPod: boolean): Finding {
  const { version, name, uptimeMs } = status
  const measured = { listen: status.listen, port: 'agent', version, name, uptimeMs, tookMs }
  const told = `agent ${version} (${name}) answers at ${status.listen}, up for ${durationText(uptimeMs)}`
  if (isLoopback(parseHostPort(status.listen)?.host ?? '')) return ok(told, measured)
  // A pod has no other choice: what leads to it is for its host port and network policy to say.
  if (isInPod) return ok(`${told}; in its pod, beyond loopback`, measured)
  return warning(
    `${told}, and other machines can pull from it`,
    'Listen on 127.0.0.1 only: clients on this node are served without being asked who they are.',
    measured,
  )
}
