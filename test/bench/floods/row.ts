/** One way to burden a seeder, or an agent, from outside: what `floods.ts` measures, and tests may use. */
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface FloodTarget {
  /** `http://host:port` of a seeder, or of an agent. */
  readonly url: string
  readonly peerHost: string
  readonly peerPort: number
  readonly repository: string
  /** Digests of the image that is there. */
  readonly manifest: string
  readonly layer: string
  /** From how many addresses the flood comes. */
  readonly addresses: number
}

export interface FloodRow {
  readonly name: string
  /** What is done before anything is measured. */
  prepare?(target: FloodTarget): Promise<void>
  /** What somebody honest wants of the same thing, from another address. @returns whether he was served */
  honest?(target: FloodTarget): Promise<boolean>
  /** Begins, goes on until `signal`, and resolves then. @param say how it goes, for the record */
  flood(target: FloodTarget, signal: AbortSignal, say: (line: string) => void): Promise<void>
}

/** The address from which the n-th connection of a flood comes. */
export function floodAddress({ addresses }: FloodTarget, n: number): string {
  return `127.0.7.${1 + (n % addresses)}`
}

export function floodPort({ url }: FloodTarget): number {
  return Number(new URL(url).port)
}

export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {})
}

export async function untilAborted(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await pause(60_000, signal)
}

/** Keeps `count` connections: each that ends is opened again, as somebody who floods does. */
export async function keepOpen(
  count: number,
  signal: AbortSignal,
  open: (n: number) => Socket | undefined,
): Promise<void> {
  const keep = async (n: number) => {
    while (!signal.aborted) {
      const socket = open(n)
      if (socket === undefined) return
      socket.on('error', () => {})
      await new Promise<void>((resolve) => {
        socket.once('close', resolve)
        signal.addEventListener('abort', () => socket.destroy(), { once: true })
      })
      await pause(250, signal)
    }
  }
  await Promise.all(Array.from({ length: count }, (_, n) => keep(n)))
}
