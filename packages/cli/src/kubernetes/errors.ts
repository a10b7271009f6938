import { ShoalError, UsageError } from '@shoal/core'

/** What goes wrong between a pod and its cluster's API server. */
abstract class KubernetesError extends ShoalError {}

export class NotInClusterError extends UsageError {
  readonly code = 'CLI_NOT_IN_CLUSTER'
  constructor(reason: string, options?: ErrorOptions) {
    super(
      `this command asks the API server of the cluster that it runs in, and cannot find it: ${reason}; run it in a pod whose service account token is mounted`,
      options,
    )
  }
}

export class ApiServerUnreachableError extends KubernetesError {
  readonly code = 'CLI_API_SERVER_UNREACHABLE'
  constructor(url: string, tries: number, reason: string, options?: ErrorOptions) {
    super(
      `${url} gave no usable answer, asked ${tries} times: ${reason}; check the API server, and the network policies between this pod and it`,
      options,
    )
  }
}

/** It may answer otherwise a moment later. */
export class ApiServerBusyError extends KubernetesError {
  readonly code = 'CLI_API_SERVER_BUSY'
  constructor(status: number, said: string) {
    super(`it answered with ${status} ${said}`)
  }
}

/** An answer that asking again does not change. */
export class ApiServerRefusedError extends KubernetesError {
  readonly code = 'CLI_API_SERVER_REFUSED'
  readonly url: string
  readonly status: number

  constructor(url: string, status: number, said: string, advice: string) {
    super(`${url} answered with ${status}: ${said || 'nothing'}; ${advice}`)
    this.url = url
    this.status = status
  }
}

export class ApiServerAnswerError extends KubernetesError {
  readonly code = 'CLI_API_SERVER_ANSWER'
  constructor(url: string, reason: string, options?: ErrorOptions) {
    super(`${url} gave an answer that cannot be used: ${reason}; is it a Kubernetes API server?`, options)
  }
}

export class DaemonSetNotReadyError extends KubernetesError {
  readonly code = 'CLI_DAEMON_SET_NOT_READY'
  readonly daemonSet: string
  /** One line each: which nodes are not, and why. */
  readonly nodes: readonly string[]

  constructor(
    daemonSet: string,
    timeoutMs: number,
    /** `ready on 2 of 3 nodes` */
    state: string,
    nodes: readonly string[],
  ) {
    const lines = nodes.map((node) => `\n  ${node}`).join('')
    super(`${daemonSet} is not ready on all its nodes after ${timeoutMs / 1_000} s, ${state}${lines}`)
    this.daemonSet = daemonSet
    this.nodes = nodes
  }
}

export class OutputFileError extends KubernetesError {
  readonly code = 'CLI_OUTPUT_FILE'
}
