/** What shell texts of a page or of NOTES.txt mean in a cluster: objects by kind and name, containers, values for Helm. Pure. */
import { type Content, find, type KubernetesObject } from './objects.ts'

const KINDS: Readonly<Record<string, string>> = {
  ds: 'DaemonSet',
  daemonset: 'DaemonSet',
  statefulset: 'StatefulSet',
  svc: 'Service',
  job: 'Job',
}

const OBJECT = /\b(ds|daemonset|statefulset|svc|job)[/ ]([a-z0-9-]+)/g

export interface MeantObject {
  readonly kind: string
  readonly name: string
  readonly container?: string
}

export function objectsMeantBy(shell: string): MeantObject[] {
  return shell.split('\n').flatMap((line) =>
    [...line.matchAll(OBJECT)].map(([, kind, name]) => {
      const container = / -c ([a-z-]+)/.exec(line)?.[1]
      return { kind: KINDS[kind!]!, name: name!, ...(container !== undefined && { container }) }
    }),
  )
}

/** @returns one line for everything that is not there */
export function missingObjects(shell: string, objects: readonly KubernetesObject[]): string[] {
  return objectsMeantBy(shell).flatMap(({ kind, name, container }) => {
    const object = find(objects, kind, name)
    if (object === undefined) return [`no ${kind} ${name}`]
    if (container === undefined) return []
    const { initContainers = [], containers } = object.spec.template.spec
    const names = [...initContainers, ...containers].map((one: Content) => one.name)
    return names.includes(container) ? [] : [`${kind} ${name} has no container ${container}`]
  })
}
