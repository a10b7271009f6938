/** The Distribution registry of Debian, private: the reference that pushes and pulls are compared with. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { startProcess } from './process.ts'
import { answers, untilReady } from './readiness.ts'
import { temporaryFolder } from './temporary-folder.ts'

export interface DockerRegistry extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** `127.0.0.1:PORT`, as it stands in an image's name. */
  readonly host: string
  stop(): Promise<void>
}

const READY_TIMEOUT_MS = 20_000

export async function startDockerRegistry(): Promise<DockerRegistry> {
  const folder = await temporaryFolder('registry')
  const host = `127.0.0.1:${await freePort()}`
  const configuration = join(folder.path, 'config.yml')
  await mkdir(join(folder.path, 'data'))
  await writeFile(configuration, yaml(host, join(folder.path, 'data')))
  const registry = startProcess('docker-registry', ['serve', configuration])
  const stop = async () => {
    await registry.kill9()
    await folder.remove()
  }
  try {
    await untilReady(registry, 'docker-registry', READY_TIMEOUT_MS, () =>
      answers(`http://${host}/v2/`, [200]),
    )
  } catch (error) {
    await stop()
    throw error
  }
  return { url: `http://${host}`, host, stop, [Symbol.asyncDispose]: stop }
}

function yaml(address: string, folder: string): string {
  return `version: 0.1
log: { level: warn, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${folder} }, delete: { enabled: true } }
http: { addr: "${address}" }
`
}
