/** A node's zone: pods are not told the labels of their node, so the API server is asked once, before the agent starts. */
import { writeFile } from 'node:fs/promises'
import type { ApiServer } from './api-server.ts'
import { ApiServerAnswerError, OutputFileError } from './errors.ts'

export interface ZoneQuestion {
  readonly node: string
  readonly label: string
  /** The file that the agent’s setting `zoneFile` names. */
  readonly output: string
}

/**
 * @returns the zone; empty where the node has no such label
 * @throws KubernetesError, or the signal's reason
 */
export async function writeNodeZone(
  api: ApiServer,
  { node, label, output }: ZoneQuestion,
  signal: AbortSignal,
): Promise<string> {
  const path = `/api/v1/nodes/${encodeURIComponent(node)}`
  const zone = labelIn(path, await api.get(path, { verb: 'get', resource: 'nodes' }, signal), label)
  try {
    await writeFile(output, `${zone}\n`)
  } catch (cause) {
    throw new OutputFileError(
      `the zone cannot be written to ${output} (${(cause as Error).message}); mount a folder that this user may write to`,
      { cause },
    )
  }
  return zone
}

function labelIn(path: string, answer: unknown, label: string): string {
  const { kind, metadata } = answer as { kind?: unknown; metadata?: { labels?: Record<string, unknown> } }
  if (kind !== 'Node') throw new ApiServerAnswerError(path, 'it is no Node')
  const labels = metadata?.labels ?? {}
  const value = Object.hasOwn(labels, label) ? labels[label] : ''
  // What a label's value may be, by the rules of Kubernetes; it goes into a file that somebody else reads.
  if (typeof value === 'string' && /^(?:[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?)?$/.test(value)) return value
  throw new ApiServerAnswerError(path, `${label} is no value of a label`)
}
