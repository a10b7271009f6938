/** Objects of rendered manifests: read strictly, found by kind and name. */
import { parseAllDocuments } from 'yaml'

// biome-ignore lint/suspicious/noExplicitAny: what an object holds is what the strict schemas check
export type Content = any

export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly [key: string]: Content
}

/** @throws Error when a document is no object of Kubernetes, or has a key twice */
export function objectsIn(text: string): KubernetesObject[] {
  return parseAllDocuments(text, { uniqueKeys: true }).flatMap((document) => {
    const [error] = [...document.errors, ...document.warnings]
    if (error !== undefined) throw new Error(`${error.message}\n${text}`)
    const value: unknown = document.toJS()
    if (value === null) return []
    const { apiVersion, kind, metadata } = value as Partial<KubernetesObject>
    if (!apiVersion || !kind || !metadata?.name) throw new Error(`no object of Kubernetes:\n${text}`)
    return [value as KubernetesObject]
  })
}

export function find(
  objects: readonly KubernetesObject[],
  kind: string,
  name: string,
): KubernetesObject | undefined {
  return objects.find((object) => object.kind === kind && object.metadata.name === name)
}

/** Whatever has a pod's template. */
export function workloadsIn(objects: readonly KubernetesObject[]): KubernetesObject[] {
  return objects.filter(({ spec }) => spec?.template?.spec?.containers !== undefined)
}

export interface Container {
  readonly pod: Content
  readonly isInit: boolean
  readonly container: Content
  readonly where: string
}

export function containersOf(workload: KubernetesObject): Container[] {
  const pod = workload.spec.template.spec
  const of = (list: Content[] | undefined, isInit: boolean) =>
    (list ?? []).map((container) => ({
      pod,
      isInit,
      container,
      where: `${workload.kind} ${workload.metadata.name}, container ${container.name}`,
    }))
  return [...of(pod.initContainers, true), ...of(pod.containers, false)]
}
