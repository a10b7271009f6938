/** `curl -o file` from nginx: what one TCP connection and one file can do, nothing verified. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { programPaths } from '../../support/components.ts'
import { freePort } from '../../support/free-port.ts'
import { type RunningProcess, startProcess } from '../../support/process.ts'
import { answers, untilReady } from '../../support/readiness.ts'
import { expectBlob, removeFolder } from '../bench-blob.ts'
import { curl } from '../curl.ts'
import { childrenOf, cpuSeconds, peakMegabytes } from '../process-usage.ts'
import { type Row, type RowInit, RowUnavailableError } from './row.ts'

const READY_TIMEOUT_MS = 10_000

/** @throws RowUnavailableError */
export async function nginxRow({ blob, folder }: RowInit): Promise<Row> {
  for (const program of ['nginx', 'curl']) {
    if (programPaths(program).length === 0)
      throw new RowUnavailableError(`${program} is not on PATH`, `apt-get install ${program}`)
  }
  const home = join(folder, 'nginx')
  const received = join(folder, 'nginx-received')
  return {
    name: 'nginx',
    async run(check) {
      try {
        await mkdir(home, { recursive: true })
        const { url, master } = await startNginx(home, dirname(blob.path))
        await using _ = master
        const [worker] = await childrenOf(master.pid)
        if (worker === undefined) throw new Error('nginx has no worker')
        const before = await cpuSeconds(worker)
        const run = await curl(`${url}/${blob.path.split('/').at(-1)}`, received)
        const sender = {
          cpuSeconds: (await cpuSeconds(worker)) - before,
          peakRssMB: await peakMegabytes(worker),
        }
        if (check) await expectBlob(blob.metainfo, received)
        return {
          seconds: run.seconds,
          sender,
          receiver: { cpuSeconds: run.cpuSeconds, peakRssMB: run.peakRssMB },
        }
      } finally {
        await removeFolder(received)
        await removeFolder(home)
      }
    },
    async [Symbol.asyncDispose]() {},
  }
}

async function startNginx(home: string, root: string): Promise<{ url: string; master: RunningProcess }> {
  const port = await freePort()
  const configuration = join(home, 'nginx.conf')
  await writeFile(configuration, configurationText(home, root, port))
  // Some builds log to their own folder until the configuration is read, which an ordinary user may not.
  const master = startProcess('nginx', ['-e', 'stderr', '-p', home, '-c', configuration])
  const url = `http://127.0.0.1:${port}`
  try {
    await untilReady(master, 'nginx', READY_TIMEOUT_MS, () => answers(`${url}/`, [403, 404]))
  } catch (error) {
    await master.stop()
    throw error
  }
  return { url, master }
}

function configurationText(home: string, root: string, port: number): string {
  // Started by root, its worker would be somebody who may not look into a temporary folder.
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `${user}
daemon off;
worker_processes 1;
pid ${home}/pid;
error_log stderr warn;
events { worker_connections 64; }
http {
  ${temporary.map((name) => `${name}_temp_path ${home}/${name};`).join('\n  ')}
  access_log off;
  sendfile on;
  tcp_nopush on;
  server { listen 127.0.0.1:${port}; root ${root}; }
}
`
}
