/** Waits until a DaemonSet has a ready pod on each of its nodes, and says after the time given on which it has none. */
import { setTimeout as pause } from 'node:timers/promises'
import type { ApiServer } from './api-server.ts'
import { type DaemonSetState, daemonSetState, type PodState, podStates } from './daemon-set.ts'
import { ApiServerUnreachableError, DaemonSetNotReadyError } from './errors.ts'

export interface DaemonSetWait {
  readonly name: string
  readonly namespace: string
  readonly timeoutMs: number
  readonly intervalMs: number
}

export const INTERVAL_MS = 2_000
const PODS_PER_QUESTION = 250
/** Of 50,000 pods, ten times what a cluster may have nodes. */
const QUESTIONS_MAX = 200

/**
 * @param onProgress told of every change
 * @returns the number of nodes
 * @throws DaemonSetNotReadyError, KubernetesError, or the signal's reason
 */
export async function waitForDaemonSet(
  api: ApiServer,
  { name, namespace, timeoutMs, intervalMs }: DaemonSetWait,
  onProgress: (text: string) => void,
  signal: AbortSignal,
): Promise<number> {
  const overdue = AbortSignal.timeout(timeoutMs)
  const either = AbortSignal.any([signal, overdue])
  const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/daemonsets/${encodeURIComponent(name)}`
  let state: DaemonSetState | undefined
  let told = ''
  try {
    for (;;) {
      const latest = await orUnreachable(api.get(path, { verb: 'get', resource: 'daemonsets' }, either))
      if (latest !== undefined) {
        state = daemonSetState(path, latest)
        const text = textOf(state)
        if (text !== told) onProgress(`${name}: ${text}`)
        told = text
        if (state.isReady) return state.wantedCount
      }
      await pause(intervalMs, undefined, { signal: either })
    }
  } catch (error) {
    signal.throwIfAborted()
    if (!overdue.aborted) throw error
    if (state === undefined)
      throw new DaemonSetNotReadyError(name, timeoutMs, 'the API server gave no answer', [])
    const nodes = await notReady(api, namespace, state, signal)
    throw new DaemonSetNotReadyError(name, timeoutMs, textOf(state), nodes)
  }
}

function textOf({ readyCount, wantedCount }: DaemonSetState): string {
  return `ready on ${readyCount} of ${wantedCount} nodes`
}

/** An API server that is away for longer than its questions are repeated may come back within the time given. */
async function orUnreachable(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ApiServerUnreachableError) return undefined
    throw error
  }
}

/** @returns a line for each node; where pods cannot be listed, one that says why */
async function notReady(
  api: ApiServer,
  namespace: string,
  state: DaemonSetState,
  signal: AbortSignal,
): Promise<string[]> {
  try {
    const pods = await listPods(api, namespace, state, signal)
    return pods
      .filter(({ isReady }) => !isReady)
      .map(({ node, reason }) => `${node}: ${reason}`)
      .toSorted()
  } catch (error) {
    signal.throwIfAborted()
    return [`which ones is not known: ${(error as Error).message}`]
  }
}

async function listPods(
  api: ApiServer,
  namespace: string,
  { selector }: DaemonSetState,
  signal: AbortSignal,
): Promise<PodState[]> {
  const pods: PodState[] = []
  let next = ''
  for (let asked = 0; asked < QUESTIONS_MAX && (asked === 0 || next !== ''); asked += 1) {
    const query = new URLSearchParams({ labelSelector: selector, limit: String(PODS_PER_QUESTION) })
    if (next !== '') query.set('continue', next)
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods?${query}`
    const list = podStates(path, await api.get(path, { verb: 'list', resource: 'pods' }, signal))
    pods.push(...list.pods)
    next = list.next
  }
  return pods
}
