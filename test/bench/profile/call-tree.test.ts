/**
 * Goal: the tables and the picture of a profile say what V8 has sampled. Method: small profiles by hand, whose sums are known;
 * then the script with a command that ends by itself.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { type CallFrame, roomOf, rowsOf, totalOf, treeOfCpu, treeOfHeap } from './call-tree.ts'
import { flameGraph } from './flame-graph.ts'

const at = (functionName: string, url = ''): CallFrame => ({
  functionName,
  url,
  lineNumber: 0,
  columnNumber: 0,
})
const locate = ({ url }: CallFrame) => url
/** pull calls hash and, again, itself; the process waits in between. */
const cpu = {
  nodes: [
    { id: 1, callFrame: at('(root)'), children: [2, 5] },
    { id: 2, callFrame: at('pull', 'packages/agent/src/a.ts:1'), children: [3, 4] },
    { id: 3, callFrame: at('hash', 'packages/storage/src/h.ts:1') },
    { id: 4, callFrame: at('pull', 'packages/agent/src/a.ts:1') },
    { id: 5, callFrame: at('(idle)') },
  ],
  samples: [2, 3, 3, 4, 5],
  timeDeltas: [1_000, 2_000, 3_000, 4_000, 90_000],
}

test('time is summed by function, with what it called, and waiting is no work', () => {
  const tree = treeOfCpu(cpu, locate)
  expect(totalOf(tree)).toBe(10)
  expect(rowsOf(tree)).toEqual([
    { name: 'pull', where: 'packages/agent/src/a.ts:1', self: 5, total: 10 },
    { name: 'hash', where: 'packages/storage/src/h.ts:1', self: 5, total: 5 },
  ])
})

test('bytes as well, and one caller’s calls of a function are one', () => {
  const leaf = { callFrame: at('Buffer', 'node:buffer'), selfSize: 7, children: [] }
  const tree = treeOfHeap(
    { head: { callFrame: at('(root)'), selfSize: 0, children: [leaf, { ...leaf, selfSize: 3 }] } },
    locate,
  )
  expect(rowsOf(tree)).toEqual([{ name: 'Buffer', where: 'node:buffer', self: 10, total: 10 }])
})

test('a file belongs to a package, a library, Node or V8', () => {
  const places = ['packages/agent/src/a.ts:1', '@aws-sdk/client-s3', 'undici', 'node:fs', '']
  expect(places.map(roomOf)).toEqual(['packages/agent', '@aws-sdk/client-s3', 'undici', 'Node', 'V8'])
})

test('the picture has a box for each frame, as wide as its share', () => {
  const picture = flameGraph(treeOfCpu(cpu, locate), (value) => `${value} ms`)
  expect([...picture.matchAll(/<rect width="([\d.]+)"/g)].map(([, width]) => Number(width))).toEqual([
    1600, 1600, 800, 640,
  ])
  expect(picture).toContain('50.0 %, 5 ms; itself 5 ms</title>')
})

test.each([
  { flags: [], kind: 'cpu' },
  { flags: ['--heap'], kind: 'heap' },
])('npm run profile $flags: a table, the profile and its picture', async ({ flags, kind }) => {
  await using folder = await temporaryFolder('profile')
  const script = fileURLToPath(new URL('../profile.ts', import.meta.url))
  const words = [script, ...flags, '--out', folder.path, 'health', '--help']
  const printed = execFileSync(process.execPath, words, { encoding: 'utf8' })
  expect(printed).toMatch(/^function +itself +share +with what it called$/m)
  expect(printed).toMatch(/^Node +\d/m)
  const [run] = readdirSync(folder.path)
  const files = readdirSync(join(folder.path, run!)).toSorted()
  expect(files).toEqual([
    expect.stringMatching(`\\.${kind}profile$`),
    expect.stringMatching(`\\.${kind}profile\\.svg$`),
  ])
  expect(readFileSync(join(folder.path, run!, files[1]!), 'utf8')).toMatch(/^<svg [\s\S]*<rect /)
})
