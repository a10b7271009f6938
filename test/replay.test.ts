/** Goal: who follows the pages sees what one node did in one run. Method: the program is run as the pages say. */
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { runProcess } from './support/process.ts'

it('prints the steps of one node', async () => {
  const program = fileURLToPath(new URL('./replay.ts', import.meta.url))
  const words = ['--nodes', '3', '--image-size', '300KB', '--seed', '7', '--node', 'node-0']
  const { stdout } = await runProcess(process.execPath, [program, ...words])
  const steps = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(steps[0]).toMatchObject({ node: 'node-0', event: { kind: 'swarm-joined', have: '0 of 5' } })
  expect(new Set(steps.map(({ node }) => node))).toEqual(new Set(['node-0']))
})
