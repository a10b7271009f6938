/**
 * Goal: a service whose log nobody reads keeps a bounded number of its lines and loses the rest. Method: a process that writes
 * more than that to a pipe that is read only when it has said what it lost.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const MIB = 1024 * 1024
const MODULE = fileURLToPath(new URL('../../dist/commands/log-output.js', import.meta.url))
const WRITER = `
import { logOutput } from ${JSON.stringify(MODULE)}
const output = logOutput()
let lostBytes = 0
output.on('drop', (line) => { lostBytes += line.length })
const line = 'x'.repeat(65_535) + '\\n'
for (let n = 0; n < 40 * 16; n++) output.write(line)
process.send(lostBytes)
process.disconnect()
`

test('16 MiB of lines wait for standard output, what comes beyond is lost', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', WRITER], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  try {
    const exited = once(child, 'exit')
    const [lostBytes] = await once(child, 'message')
    let readBytes = 0
    for await (const chunk of child.stdout!) readBytes += chunk.length
    expect(await exited).toEqual([0, null])
    // What was not lost was written, when it could be.
    expect(readBytes + lostBytes).toBe(40 * MIB)
    expect(readBytes).toBeLessThanOrEqual(17 * MIB)
    expect(readBytes).toBeGreaterThanOrEqual(15 * MIB)
  } finally {
    child.kill('SIGKILL')
  }
})
