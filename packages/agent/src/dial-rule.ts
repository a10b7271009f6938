/** Where others may lead this agent: what `mayDialFrom` of core needs to know of the machine. */
import { networkInterfaces } from 'node:os'
import { type HostPort, isWildcard, type MayDial, mayDialFrom } from '@shoal/core'

export class AgentDialRule {
  readonly #homes: string[]
  readonly #own: () => readonly HostPort[]
  #rule: MayDial

  /** @param init.port of the peer port, once it is known */
  constructor(init: { readonly peerHost: string; readonly port: () => number; readonly seederUrl: string }) {
    const { peerHost, port, seederUrl } = init
    const hosts = isWildcard(peerHost) ? addressesHere() : [peerHost]
    this.#own = () => hosts.map((host) => ({ host, port: port() }))
    // A seeder on this machine tells of agents on this machine.
    this.#homes = [peerHost, new URL(seederUrl).hostname.replace(/^\[|\]$/g, '')]
    this.#rule = mayDialFrom(this.#homes, this.#own)
  }

  readonly mayDial: MayDial = (ip, port) => this.#rule(ip, port)

  /** The seeder was found at an address: its name alone may not tell that it is on this machine. */
  reachedSeeder(ip: string): void {
    this.#rule = mayDialFrom([...this.#homes, ip], this.#own)
  }
}

function addressesHere(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  )
}
