/** Where others may lead this agent: what `mayDialFrom` of core needs to know of the machine. */
import { networkInterfaces } from 'node:os'
import { type HostPort, isWildcard, type MayDial, mayDialFrom } from '@shoal/core'

export class AgentDialRule {
  readonly #homes: string[]
  readonly #hosts: readonly string[]
  #own: readonly HostPort[] = []
  #rule: MayDial

  constructor({ peerHost, seederUrl }: { readonly peerHost: string; readonly seederUrl: string }) {
    this.#hosts = isWildcard(peerHost) ? addressesHere() : [peerHost]
    // A seeder on this machine tells of agents on this machine.
    this.#homes = [peerHost, new URL(seederUrl).hostname.replace(/^\[|\]$/g, '')]
    this.#rule = mayDialFrom(this.#homes, () => this.#own)
  }

  readonly mayDial: MayDial = (ip, port) => this.#rule(ip, port)

  /** This agent's own peer port is known, which it never dials. */
  listensOn(port: number): void {
    this.#own = this.#hosts.map((host) => ({ host, port }))
  }

  /** The seeder was found at an address: its name alone may not tell that it is on this machine. */
  reachedSeeder(ip: string): void {
    this.#rule = mayDialFrom([...this.#homes, ip], () => this.#own)
  }
}

function addressesHere(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  )
}
