/** Lets a bounded number of requests to each host go at a time; the others wait in order, or leave when their signal aborts. */

interface Host {
  underWay: number
  readonly waiting: Set<() => void>
}

export class HostTurns {
  readonly #hosts = new Map<string, Host>()
  readonly #atOnceMax: number

  constructor(atOnceMax: number) {
    this.#atOnceMax = atOnceMax
  }

  /** @returns what gives the turn back, once. @throws the signal's reason */
  async take(name: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    const host = this.#hosts.get(name) ?? { underWay: 0, waiting: new Set() }
    this.#hosts.set(name, host)
    if (host.underWay < this.#atOnceMax) host.underWay++
    else await this.#turn(host, signal)
    return () => this.#end(name, host)
  }

  #turn(host: Host, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        host.waiting.delete(go)
        reject(signal.reason)
      }
      const go = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      host.waiting.add(go)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  #end(name: string, host: Host): void {
    const [next] = host.waiting
    if (next !== undefined) {
      host.waiting.delete(next)
      next()
      return
    }
    host.underWay--
    if (host.underWay === 0) this.#hosts.delete(name)
  }
}
