/**
 * Objects held against Kubernetes' own schemas, offline, and strictly: the validators of kubernetes-models pass over fields that
 * they do not know, as the API server does when it is not asked to be strict. So they are shown the object through proxies
 * that note what was looked at: a field that no validator has asked for is one that Kubernetes does not have.
 */
import { validate as daemonSet } from 'kubernetes-models/_schemas/IoK8sApiAppsV1DaemonSet'
import { validate as statefulSet } from 'kubernetes-models/_schemas/IoK8sApiAppsV1StatefulSet'
import { validate as job } from 'kubernetes-models/_schemas/IoK8sApiBatchV1Job'
import { validate as configMap } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ConfigMap'
import { validate as namespace } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Namespace'
import { validate as resourceQuota } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ResourceQuota'
import { validate as service } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Service'
import { validate as serviceAccount } from 'kubernetes-models/_schemas/IoK8sApiCoreV1ServiceAccount'
import { validate as ingress } from 'kubernetes-models/_schemas/IoK8sApiNetworkingV1Ingress'
import { validate as networkPolicy } from 'kubernetes-models/_schemas/IoK8sApiNetworkingV1NetworkPolicy'
import { validate as podDisruptionBudget } from 'kubernetes-models/_schemas/IoK8sApiPolicyV1PodDisruptionBudget'
import { validate as clusterRole } from 'kubernetes-models/_schemas/IoK8sApiRbacV1ClusterRole'
import { validate as clusterRoleBinding } from 'kubernetes-models/_schemas/IoK8sApiRbacV1ClusterRoleBinding'
import { validate as role } from 'kubernetes-models/_schemas/IoK8sApiRbacV1Role'
import { validate as roleBinding } from 'kubernetes-models/_schemas/IoK8sApiRbacV1RoleBinding'
import type { KubernetesObject } from './objects.ts'

type Validate = ((value: unknown) => boolean) & {
  errors?: readonly { instancePath: string; message?: string; keyword: string; params: object }[] | null
}

const VALIDATORS: Readonly<Record<string, unknown>> = {
  'apps/v1 DaemonSet': daemonSet,
  'apps/v1 StatefulSet': statefulSet,
  'batch/v1 Job': job,
  'v1 ConfigMap': configMap,
  'v1 Namespace': namespace,
  'v1 ResourceQuota': resourceQuota,
  'v1 Service': service,
  'v1 ServiceAccount': serviceAccount,
  'networking.k8s.io/v1 Ingress': ingress,
  'networking.k8s.io/v1 NetworkPolicy': networkPolicy,
  'policy/v1 PodDisruptionBudget': podDisruptionBudget,
  'rbac.authorization.k8s.io/v1 ClusterRole': clusterRole,
  'rbac.authorization.k8s.io/v1 ClusterRoleBinding': clusterRoleBinding,
  'rbac.authorization.k8s.io/v1 Role': role,
  'rbac.authorization.k8s.io/v1 RoleBinding': roleBinding,
}

/** @returns one line for everything that Kubernetes would refuse, or pass over without a word */
export function schemaProblems(object: KubernetesObject): string[] {
  const kind = `${object.apiVersion} ${object.kind}`
  const validate = VALIDATORS[kind] as Validate | undefined
  if (validate === undefined) return [`${kind} is not known here`]
  const watched = new WatchedFields()
  const name = `${object.kind} ${object.metadata.name}`
  const wrong = validate(watched.watch(object, '')) ? [] : (validate.errors ?? [])
  return [
    ...wrong.map((error) => `${name}${error.instancePath}: ${error.keyword} ${JSON.stringify(error.params)}`),
    ...watched.unknown().map((path) => `${name}${path}: is not known`),
    ...watched.nulls.map((path) => `${name}${path}: is null`),
  ]
}

class WatchedFields {
  readonly nulls: string[] = []
  readonly #seen: { readonly path: string; readonly keys: readonly string[]; readonly asked: Set<string> }[] =
    []

  watch(value: unknown, path: string): unknown {
    if (value === null) this.nulls.push(path)
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map((item, index) => this.watch(item, `${path}/${index}`))
    const keys = Object.keys(value)
    const asked = new Set<string>()
    this.#seen.push({ path, keys, asked })
    const copy = Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, this.watch(inner, `${path}/${key}`)]),
    )
    return new Proxy(copy, {
      get: (target, key) => {
        if (typeof key === 'string') asked.add(key)
        return Reflect.get(target, key)
      },
      // Who goes through all keys takes any: labels, a map's data.
      ownKeys: (target) => {
        for (const key of keys) asked.add(key)
        return Reflect.ownKeys(target)
      },
    })
  }

  unknown(): string[] {
    return this.#seen.flatMap(({ path, keys, asked }) =>
      keys.filter((key) => !asked.has(key)).map((key) => `${path}/${key}`),
    )
  }
}
