/** libtorrent through its Python binding. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from '../free-port.ts'
import { startProcess } from '../process.ts'
import { pythonWithLibtorrent } from './python.ts'
import { READY_TIMEOUT_MS, type StandardClient } from './standard-client.ts'

const CLIENT = fileURLToPath(new URL('libtorrent_client.py', import.meta.url))
const WHOLE_TIMEOUT_MS = 60_000

export const libtorrent: StandardClient = async ({ torrentPath, folder, home }) => {
  const port = await freePort()
  const client = startProcess(pythonWithLibtorrent() ?? 'python3', [CLIENT, torrentPath, folder, `${port}`], {
    env: { HOME: join(home, 'libtorrent') },
  })
  await client.waitForLine((line) => line === 'listening', READY_TIMEOUT_MS)
  const whole = client.waitForLine((line) => line === 'whole', WHOLE_TIMEOUT_MS).then(() => {})
  // Whoever does not wait for it need not hear of its end.
  whole.catch(() => {})
  return { port, whole, [Symbol.asyncDispose]: async () => void (await client.kill9()) }
}
