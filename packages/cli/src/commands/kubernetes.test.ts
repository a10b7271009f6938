/** Goal: `shoal kubernetes …` ends with the status that pods go by, and says why. Method: the built command. */
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { startShoal } from '../testing/shoal-process.ts'

const start = (...args: string[]) => startShoal(['kubernetes', ...args], {})

describe('shoal kubernetes', () => {
  test.each([
    [['node-zone', '--node', 'a', '--label', 'b', '--output', '/dev/null']],
    [['wait-for-daemonset', 'cleanup']],
  ])('%j is status 2 outside a cluster', async (words) => {
    const { status, out, err } = await start(...words).ended
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(err).toMatch(/^error: .*KUBERNETES_SERVICE_HOST .* run it in a pod/)
  })

  test.each([
    [['node-zone', '--node', 'a', '--label', 'b'], '--output'],
    [['wait-for-daemonset'], 'NAME'],
    [['wait-for-daemonset', 'a', '--timeout', '0'], 'from 1 to 86400'],
    [['wait-for-daemonset', 'a', '--timeout', '5m'], 'whole number'],
    [['own-folder', '/a', '--user', 'root', '--group', '0'], 'whole number'],
  ])('%j is typed wrong', async (words, said) => {
    const { status, err } = await start(...words).ended
    expect(status).toBe(2)
    expect(err).toContain(said)
  })

  test('own-folder is status 1 where the folder is not there', async () => {
    const { status, err } = await start('own-folder', '/absent/folder', '--user', '1', '--group', '1').ended
    expect(status).toBe(1)
    expect(err).toContain('/absent/folder cannot be given to 1:1')
  })

  test('idle stays until it is asked to stop', async () => {
    const { child, ended } = start('idle')
    await once(child.stdout!, 'data')
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ status: 0, out: 'idle until SIGTERM\n', err: '' })
  })
})
