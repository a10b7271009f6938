/**
 * Goal: that clients go round Shoal is told once an hour for each registry, counted, and bounded whatever names come.
 * Method: a clock and a log of the test's own.
 */
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { beforeEach, expect, it } from 'vitest'
import { UNSERVED_REGISTRIES_MAX, UnservedRegistries } from './unserved-registries.ts'

const HOUR_MS = 3_600_000
let nowMs: number
let counted: string[]
let lines: { level: number; event: string; registry: string; requests: number; msg: string }[]
let registries: UnservedRegistries

beforeEach(() => {
  nowMs = 5
  counted = []
  lines = []
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()))
      done()
    },
  })
  registries = new UnservedRegistries({
    log: pino(sink),
    nowMs: () => nowMs,
    onAsked: (registry) => counted.push(registry),
  })
})

it('each registry is told of once an hour, with what to do, and counted every time', () => {
  for (let asked = 0; asked < 50; asked++) registries.asked('registry.corp:7000')
  registries.asked('quay.io')
  expect(lines.map(({ level, event, registry }) => [level, event, registry])).toEqual([
    [40, 'registry-unserved', 'registry.corp:7000'],
    [40, 'registry-unserved', 'quay.io'],
  ])
  expect(lines[0]!.msg).toMatch(/seeder’s hosts.*upstreams/)
  expect(counted).toHaveLength(51)
  nowMs += HOUR_MS - 1
  registries.asked('quay.io')
  expect(lines).toHaveLength(2)
  nowMs += 1
  registries.asked('quay.io')
  expect(lines.at(-1)).toMatchObject({ registry: 'quay.io', requests: 3 })
})

it('what was asked for of late is told, and nothing older', () => {
  registries.asked('quay.io')
  nowMs += HOUR_MS - 1_000
  registries.asked('ghcr.io')
  nowMs += 500
  expect(registries.recent()).toEqual([
    { registry: 'quay.io', requests: 1, agoMs: HOUR_MS - 500 },
    { registry: 'ghcr.io', requests: 1, agoMs: 500 },
  ])
  nowMs += 500
  expect(registries.recent().map(({ registry }) => registry)).toEqual(['ghcr.io'])
})

it('names beyond a few are one: who asks for thousands leaves no thousand series and no thousand lines', () => {
  for (let n = 0; n < 1_000; n++) registries.asked(`r${n}.test`)
  expect(new Set(counted).size).toBe(UNSERVED_REGISTRIES_MAX + 1)
  expect(lines).toHaveLength(UNSERVED_REGISTRIES_MAX + 1)
  expect(registries.recent().at(-1)).toEqual({
    registry: 'other',
    requests: 1_000 - UNSERVED_REGISTRIES_MAX,
    agoMs: 0,
  })
})
