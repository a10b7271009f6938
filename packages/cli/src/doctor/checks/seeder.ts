/** Whether the seeder is found, reached, and of the same version. Pure. */
import { type Finding, failure, ok, warning } from '../check-result.ts'
import type { SeederSight } from '../look-at-seeder.ts'

const URL_ADVICE = 'Check `seeder`'

/**
 * @param ourVersion the running agent's, or else this program's
 * @param agentProblem why the agent that runs cannot ask it; undefined where it can, or does not run
 */
export function judgeSeeder(sight: SeederSight, ourVersion: string, agentProblem?: string): Finding {
  const seen = judgeSight(sight, ourVersion)
  if (agentProblem === undefined || seen.outcome === 'failure') return seen
  return failure(
    `seen from here, ${seen.message}; but the agent says that ${agentProblem}`,
    `${URL_ADVICE}, and what stands between the agent and the seeder: a network policy, a proxy, another resolver in its container.`,
    { ...seen.measured, agentProblem },
  )
}

function judgeSight(sight: SeederSight, ourVersion: string): Finding {
  const { url } = sight
  switch (sight.kind) {
    case 'unresolved':
      return failure(
        `the name ${sight.host} does not resolve (${sight.problem})`,
        `${URL_ADVICE}, and this node’s resolver (/etc/resolv.conf).`,
        { url, problem: sight.problem },
      )
    case 'unreachable':
      return failure(
        `${url} does not answer (${sight.address}: ${sight.problem})`,
        `${URL_ADVICE}, whether the seeder runs, and whether a firewall is between.`,
        { url, address: sight.address, problem: sight.problem },
      )
    case 'answered':
      return answered(sight, ourVersion)
  }
}

function answered(sight: Extract<SeederSight, { kind: 'answered' }>, ourVersion: string): Finding {
  const { url, address, status, service, isReady, version, roundTripMs, complaints = [] } = sight
  const measured = { url, address, status, roundTripMs, ...(version !== undefined && { version }) }
  if (isReady && service === 'agent')
    return failure(`an agent answers at ${url}`, `${URL_ADVICE}: it must name the seeder.`, measured)
  if (!isReady && service === 'seeder' && complaints.length > 0)
    return failure(
      `the seeder at ${url} is not ready: ${complaints.join('; ')}`,
      'Mend that at the seeder; its log says more.',
      measured,
    )
  if (!isReady)
    return failure(
      `what answers at ${url} is no seeder that is ready (HTTP ${status})`,
      `${URL_ADVICE}, the seeder’s log, and whatever stands before it.`,
      measured,
    )
  if (complaints.length > 0)
    return warning(
      `${url} is ready, and says: ${complaints.join('; ')}`,
      'Mend that at the seeder; its log says more.',
      measured,
    )
  if (version === undefined)
    return warning(
      `${url} is ready and says no version: it is older than this`,
      'Upgrade the seeder, then the agents.',
      measured,
    )
  if (version !== ourVersion)
    return warning(
      `${url} is ready; it has version ${version}, and this node ${ourVersion}`,
      'Upgrade the older of the two, the seeder first.',
      measured,
    )
  return ok(`${url} is ready: seeder ${version}, round trip ${roundTripMs} ms`, measured)
}
