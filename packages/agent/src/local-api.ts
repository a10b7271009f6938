/**
 * What programs on this node may ask the agent about itself: `shoal doctor` does. Nobody else is answered, whatever the
 * agent listens on: where it runs and who its neighbours are is of no use to a stranger but a bad one.
 */
import { isLoopback } from '@shoal/core'
import { AGENT_STATUS_PATH, type AgentStatus, REACHABILITY_PATH, type ReachabilityReport } from '@shoal/wire'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

export interface LocalApiParts {
  readonly status: () => Promise<AgentStatus>
  readonly reachability: () => Promise<ReachabilityReport>
}

export async function localApi(server: FastifyInstance, parts: LocalApiParts): Promise<void> {
  await server.register(async (api) => {
    api.addHook('onRequest', refuseStrangers)
    api.get(AGENT_STATUS_PATH, () => parts.status())
    api.post(REACHABILITY_PATH, () => parts.reachability())
  })
}

async function refuseStrangers(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  if (isFromThisMachine(request.raw.socket)) return undefined
  return reply.code(403).send({
    statusCode: 403,
    code: 'NOT_LOCAL',
    message: 'only programs on this node are told; ask from there',
  })
}

/** By loopback, or from the very address that was dialled: whoever has it is here. */
export function isFromThisMachine({
  remoteAddress = '',
  localAddress = '',
}: {
  readonly remoteAddress?: string | undefined
  readonly localAddress?: string | undefined
}): boolean {
  if (remoteAddress === '') return false
  const remote = remoteAddress.replace(/^::ffff:/, '')
  return isLoopback(remote) || remoteAddress === localAddress
}
