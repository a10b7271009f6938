/** Seeders and agents as processes of their own, for the forms that have them. */
import { join } from 'node:path'
import { orAborted } from '@shoal/service'
import type { Cleanup } from '../processes/cleanup.ts'
import { type ReadyAddresses, ServiceProcess } from '../processes/service-process.ts'
import type { TaskChild } from './task-child.ts'

/** The processes of one cluster: what they are told on failure, and their end. */
export class Services {
  readonly #services: ServiceProcess[] = []
  readonly #children: TaskChild[] = []

  readonly #init: {
    readonly shoal: readonly string[]
    readonly folder: string
    readonly origin: string
    readonly cleanup: Cleanup
    readonly onFailed: (error: Error) => void
    readonly signal: AbortSignal
  }

  constructor(init: {
    readonly shoal: readonly string[]
    readonly folder: string
    readonly origin: string
    readonly cleanup: Cleanup
    readonly onFailed: (error: Error) => void
    readonly signal: AbortSignal
  }) {
    this.#init = init
    init.cleanup.add({ name: 'the processes', end: () => this.stop(), endNow: () => this.#kill() })
  }

  /** Clients and agents first: an agent without its seeder would still try to find it. */
  async stop(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.stop()))
    const isSeeder = ({ name }: ServiceProcess) => name === 'seeder'
    await Promise.all(this.#services.filter((service) => !isSeeder(service)).map((agent) => agent.stop()))
    await Promise.all(this.#services.filter(isSeeder).map((seeder) => seeder.stop()))
  }

  seeder(flags: readonly string[], prefix: readonly string[] = []): Promise<ReadyAddresses> {
    const { folder, origin } = this.#init
    const args = ['seeder', '--data', join(folder, 'seeder'), '--origin', origin, ...flags]
    return this.#start('seeder', prefix, args)
  }

  agent(name: string, flags: readonly string[], prefix: readonly string[] = []): Promise<ReadyAddresses> {
    const args = ['agent', '--name', name, '--cache', join(this.#init.folder, name), ...flags]
    return this.#start(name, prefix, args)
  }

  /** Takes part in the cluster's end and in its failures. */
  adopt(child: TaskChild): TaskChild {
    this.#children.push(child)
    child.failed.catch(this.#init.onFailed)
    return child
  }

  async #start(name: string, prefix: readonly string[], args: readonly string[]): Promise<ReadyAddresses> {
    const { shoal, signal, onFailed } = this.#init
    signal.throwIfAborted()
    const service = new ServiceProcess(name, [...prefix, ...shoal, ...args, '--log-level', 'warn'])
    this.#services.push(service)
    service.failed.catch(onFailed)
    return orAborted(service.ready, signal)
  }

  #kill(): void {
    for (const child of [...this.#children, ...this.#services]) child.kill()
  }
}
