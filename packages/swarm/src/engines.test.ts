/**
 * Goal: every engine that can be chosen by name is made by name, wherever its code is.
 * Method: in a checkout all are installed. What is said where one is not: test/deploy/production-tree.test.ts.
 */
import { createPrng } from '@shoal/core'
import { expect, it } from 'vitest'
import { createEngine, ENGINE_NAMES } from './engines.ts'

it.each(ENGINE_NAMES)('%s is made, started and stopped', async (name) => {
  const peerId = 'ab'.repeat(20)
  const engine = await createEngine(name, { host: '127.0.0.1', port: 0, peerId, prng: createPrng(1) })
  await engine.start()
  try {
    expect(engine.peerId).toBe(peerId)
    expect(engine.address.port).toBeGreaterThan(0)
  } finally {
    await engine.stop()
  }
})
