/** What the API server says of a DaemonSet and of its pods, read with care. Pure. */
import { printable } from '../control-client/printable.ts'
import { ApiServerAnswerError } from './errors.ts'

export interface DaemonSetState {
  readonly isReady: boolean
  readonly readyCount: number
  readonly wantedCount: number
  /** `app=shoal,component=cleanup` */
  readonly selector: string
}

const REASON_SHOWN_MAX = 300

/** @throws ApiServerAnswerError */
export function daemonSetState(path: string, answer: unknown): DaemonSetState {
  const { kind, metadata, spec, status } = answer as RawDaemonSet
  if (kind !== 'DaemonSet') throw new ApiServerAnswerError(path, 'it is no DaemonSet')
  const wantedCount = count(path, status?.desiredNumberScheduled)
  const readyCount = count(path, status?.numberReady)
  const updatedCount = count(path, status?.updatedNumberScheduled)
  // Before its controller has seen it, a DaemonSet wants no pods, and has them all.
  const isObserved = count(path, status?.observedGeneration) >= count(path, metadata?.generation ?? 1)
  const selector = Object.entries(spec?.selector?.matchLabels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
  const isReady = isObserved && readyCount >= wantedCount && updatedCount >= wantedCount
  return { isReady, readyCount, wantedCount, selector }
}

export interface PodState {
  readonly node: string
  readonly isReady: boolean
  /** Why it is not, as far as it can be told. */
  readonly reason: string
}

/** @throws ApiServerAnswerError */
export function podStates(
  path: string,
  answer: unknown,
): { readonly pods: readonly PodState[]; readonly next: string } {
  const { items, metadata } = answer as { items?: unknown; metadata?: { continue?: unknown } }
  if (!Array.isArray(items)) throw new ApiServerAnswerError(path, 'it is no list of pods')
  const next = typeof metadata?.continue === 'string' ? metadata.continue : ''
  return { pods: items.map(podState), next }
}

function podState({ metadata, spec, status }: RawPod): PodState {
  const conditions = status?.conditions ?? []
  const isReady = conditions.some(({ type, status }) => type === 'Ready' && status === 'True')
  // A DaemonSet says by affinity which node a pod is for, until the scheduler has put it there.
  const terms =
    spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms
  const node = spec?.nodeName ?? terms?.[0]?.matchFields?.[0]?.values?.[0] ?? `pod ${metadata?.name ?? '?'}`
  const containers = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
  const troubles = containers.flatMap(({ name, state, lastState }) => {
    const ended = [state?.terminated, lastState?.terminated].find((one) => one && one.exitCode !== 0)
    if (ended) return [`${name} ended with ${ended.exitCode}: ${ended.message?.trim() || ended.reason || ''}`]
    const { reason, message } = state?.waiting ?? {}
    return reason === undefined || reason === 'PodInitializing'
      ? []
      : [`${name}: ${reason} ${message ?? ''}`.trim()]
  })
  const unmet = conditions.find(({ status, message }) => status === 'False' && message)
  const reason = troubles[0] ?? unmet?.message ?? `phase ${status?.phase ?? 'unknown'}; is the node up?`
  return { node: printable(node), isReady, reason: printable(reason).slice(0, REASON_SHOWN_MAX) }
}

function count(path: string, value: unknown): number {
  if (value === undefined) return 0
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw new ApiServerAnswerError(path, `${JSON.stringify(value)} is no count`)
}

/** What is read of the answers; nothing of it is sure to be there. */
interface RawDaemonSet {
  readonly kind?: unknown
  readonly metadata?: { generation?: unknown }
  readonly spec?: { selector?: { matchLabels?: Record<string, unknown> } }
  readonly status?: Record<string, unknown>
}

interface RawContainerStatus {
  readonly name?: string
  readonly state?: RawContainerState
  readonly lastState?: RawContainerState
}

interface RawContainerState {
  readonly terminated?: { exitCode?: number; message?: string; reason?: string }
  readonly waiting?: { reason?: string; message?: string }
}

interface RawPod {
  readonly metadata?: { name?: string }
  readonly spec?: {
    nodeName?: string
    affinity?: {
      nodeAffinity?: {
        requiredDuringSchedulingIgnoredDuringExecution?: {
          nodeSelectorTerms?: { matchFields?: { values?: string[] }[] }[]
        }
      }
    }
  }
  readonly status?: {
    phase?: string
    conditions?: { type?: string; status?: string; message?: string }[]
    initContainerStatuses?: RawContainerStatus[]
    containerStatuses?: RawContainerStatus[]
  }
}
