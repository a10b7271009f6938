/** aria2c, from the command line. */
import { freePort } from '../free-port.ts'
import { startProcess } from '../process.ts'
import { READY_TIMEOUT_MS, type StandardClient, untilListening } from './standard-client.ts'

export const aria2: StandardClient = async ({ torrentPath, folder, home }) => {
  const port = await freePort()
  const client = startProcess('aria2c', [
    `--dir=${folder}`,
    `--listen-port=${port}`,
    '--check-integrity=true',
    '--seed-ratio=0.0',
    '--enable-dht=false',
    '--enable-dht6=false',
    '--bt-enable-lpd=false',
    '--enable-peer-exchange=false',
    '--bt-tracker-interval=1',
    '--bt-external-ip=127.0.0.1',
    '--file-allocation=none',
    '--summary-interval=0',
    '--no-conf=true',
    '--console-log-level=info',
    `--dht-file-path=${home}/dht.dat`,
    torrentPath,
  ])
  // With the file there it says so when its check is done, and without when the download is.
  const whole = client
    .waitForLine(
      (line) => /download completed|Download complete|Seeding|SEED/i.test(line),
      READY_TIMEOUT_MS * 3,
    )
    .then(() => {})
  whole.catch(() => {})
  await untilListening(client, 'aria2c', port)
  return { port, whole, [Symbol.asyncDispose]: async () => void (await client.kill9()) }
}
