/** Whether the clients that `shoal install-client` has set up are still set up, for this agent, and come for what it has. Pure. */

import type { InspectedFile } from '@shoal/client-config'
import { formatHostPort, type HostPort, isLoopback, parseHostPort } from '@shoal/core'
import type { UnservedRegistry } from '@shoal/wire'
import { type Finding, failure, ok, skipped, together, warning } from '../check-result.ts'
import { localAddress } from '../look-at-agent.ts'
import { durationText } from './quantities.ts'

export function judgeClients(
  clients: readonly InspectedFile[],
  agent: HostPort,
  about: { readonly isInContainer: boolean; readonly isHostVisible: boolean },
  unserved: readonly UnservedRegistry[] = [],
): Finding {
  const set = judgeFiles(clients, agent, about)
  if (unserved.length === 0) return set
  // Requests of clients have come, so they are set up, whether or not their files can be seen from here.
  return together([set, ...unserved.map(goesRound)], { ...set.measured, unservedRegistries: unserved })
}

function goesRound({ registry, requests, agoMs }: UnservedRegistry): Finding {
  const which = registry === 'other' ? 'further registries' : registry
  return warning(
    `clients asked for images of ${which} ${requests === 1 ? 'once' : `${requests} times`}, last ${durationText(agoMs)} ago, and the seeder does not serve it: they go round Shoal`,
    `If ${which} is the seeder itself by another name, add that to the seeder’s \`hosts\`; if it is a registry to mirror, to its \`upstreams\` (for Docker’s \`registry-mirrors\`, set \`defaultUpstream\`); if neither is meant, take it from the clients’ mirrors.`,
  )
}

function judgeFiles(
  clients: readonly InspectedFile[],
  agent: HostPort,
  about: { readonly isInContainer: boolean; readonly isHostVisible: boolean },
): Finding {
  if (clients.length === 0 && about.isInContainer && !about.isHostVisible)
    return skipped('this runs in a container where the host’s client configuration is not visible')
  if (clients.length === 0)
    return ok(
      `none was set up by \`shoal install-client\`; clients find the agent where their images are named ${formatHostPort(localAddress(agent))}/…`,
      { clients: [] },
    )
  const findings = clients.map((client) => judgeClient(client, agent))
  return together(findings, { clients })
}

function judgeClient({ runtime, path, state, detail, agent: told }: InspectedFile, agent: HostPort): Finding {
  const more = detail === '' ? '' : ` (${detail})`
  const again = `Run \`shoal install-client --runtime ${runtime} --agent ${formatHostPort(localAddress(agent))}\``
  if (state === 'missing')
    return warning(
      `${runtime}: ${path} is gone${more}, so its pulls do not go through Shoal`,
      `${again}, or \`shoal uninstall-client --runtime ${runtime}\`.`,
    )
  if (!isSameAgent(told, agent))
    return failure(
      `${runtime}: ${path} sends clients to ${told}, where this agent is not`,
      `${again}, or set the agent’s \`listen\`.`,
    )
  if (state === 'unreadable')
    return warning(
      `${runtime}: whether ${path} is as it was installed could not be found out: ${detail}`,
      'Run `shoal doctor` on the node as root.',
    )
  if (state === 'edited')
    return warning(
      `${runtime}: ${path} was changed since it was installed${more}`,
      'If that was meant, leave it: it is never overwritten. It has to be taken back by hand, too.',
    )
  return ok(`${runtime}: ${path}`)
}

/** `localhost` and the addresses of loopback are one; an agent that listens everywhere is at each. */
function isSameAgent(told: string, agent: HostPort): boolean {
  const address = parseHostPort(told)
  if (address === undefined || address.port !== agent.port) return false
  const { host } = localAddress(agent)
  return (
    address.host === host ||
    (isLoopback(address.host) && isLoopback(host)) ||
    agent.host === '0.0.0.0' ||
    agent.host === '::'
  )
}
