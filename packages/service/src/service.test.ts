/**
 * Goal: a service that cannot start leaves nothing of itself behind, wherever its start failed, and one that stops ends every
 * part, the last begun first.
 * Method: a service of four parts that write down when they begin and end; each in turn fails.
 */
import { pino } from 'pino'
import { beforeEach, describe, expect, it } from 'vitest'
import { Service } from './service.ts'

const PARTS = ['folder', 'store', 'engine', 'server']
let told: string[]
let logged: { event: string }[]
beforeEach(() => {
  told = []
  logged = []
})

/** @param fails what is said by the part that cannot: `begin engine`, `end store` */
function serviceThat(...fails: string[]): Service {
  const does = (what: string) => {
    if (fails.includes(what)) throw new Error(`cannot ${what}`)
    told.push(what)
  }
  return new Service({
    log: pino({ level: 'error' }, { write: (line: string) => void logged.push(JSON.parse(line)) }),
    begin: async (begun) => {
      for (const part of PARTS) {
        does(`begin ${part}`)
        begun.defer(async () => does(`end ${part}`))
      }
      return {
        listen: { host: '127.0.0.1', port: 7000 },
        peerListen: { host: '::1', port: 6001 },
        onUncaughtError: () => told.push('counted'),
      }
    },
  })
}

const begins = (count: number) => PARTS.slice(0, count).map((part) => `begin ${part}`)
const ends = (count: number) => PARTS.slice(0, count).map((part) => `end ${part}`)

describe('a start', () => {
  it.each([...PARTS.entries()])('that fails with part %i ends those that had begun', async (index, part) => {
    const service = serviceThat(`begin ${part}`)
    await expect(service.start()).rejects.toThrow(`cannot begin ${part}`)
    expect(told).toEqual([...begins(index), ...ends(index).toReversed()])
    expect(() => service.url).toThrow('started')
    // It may be tried again.
    await service.stop()
  })

  it('that fails says why, whatever does not end then', async () => {
    const service = serviceThat('begin server', 'end store')
    await expect(service.start()).rejects.toThrow('cannot begin server')
    expect(told.slice(3)).toEqual(['end engine', 'end folder'])
    expect(logged.map(({ event }) => event)).toEqual(['stop-failed'])
  })
})

describe('a service', () => {
  it('tells where it is while it runs, and counts what nobody handled', async () => {
    const service = serviceThat()
    expect(service.onUncaughtError()).toBeUndefined()
    await service.start()
    expect([service.url, service.peerAddress]).toEqual(['http://127.0.0.1:7000', '[::1]:6001'])
    service.onUncaughtError()
    await service.stop()
    await service.stop()
    expect(told).toEqual([...begins(4), 'counted', ...ends(4).toReversed()])
  })

  it('that stops ends every part, and says which could not', async () => {
    const service = serviceThat('end engine')
    await service.start()
    await expect(service.stop()).rejects.toThrow('cannot end engine')
    expect(told.slice(4)).toEqual(['end server', 'end store', 'end folder'])
  })
})
