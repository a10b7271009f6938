/** A seeder and its agents on this machine: processes of their own, loopback ports that the system chooses. */

import { rmSync } from 'node:fs'
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Cleanup } from '@shoal/fanout/processes'
import { ServiceProcess } from '@shoal/fanout/processes'
import { orAborted } from '@shoal/service'
import { DemoRoomError } from './errors.ts'

export interface ClusterNode {
  readonly name: string
  /** `host:port` of its registry. */
  readonly listen: string
  readonly url: string
}

export interface Cluster {
  readonly seeder: ClusterNode
  readonly agents: readonly ClusterNode[]
}

export interface ClusterInit {
  /** How to run `shoal`: program and first arguments. */
  readonly shoal: readonly string[]
  readonly agentCount: number
  readonly folder: string
  readonly cleanup: Cleanup
  /** Told when one of the processes ends unasked. */
  readonly onFailed: (error: Error) => void
  readonly signal: AbortSignal
}

/** Origin, the seeder's copy and every agent's cache hold the image once; a tenth on top for what lies between. */
export async function makeFolder(
  cleanup: Cleanup,
  { imageBytes, agentCount }: { imageBytes: number; agentCount: number },
): Promise<string> {
  const neededBytes = Math.ceil(imageBytes * (agentCount + 2) * 1.1)
  const { bavail, bsize } = await statfs(tmpdir())
  if (bavail * bsize < neededBytes) throw new DemoRoomError(tmpdir(), neededBytes, bavail * bsize)
  const folder = await mkdtemp(join(tmpdir(), 'shoal-demo-'))
  const removal = { recursive: true, force: true, maxRetries: 5 }
  cleanup.add({
    name: folder,
    end: () => rm(folder, removal),
    endNow: () => rmSync(folder, removal),
  })
  return folder
}

/** @throws ServiceEndedError when one of them does not get ready */
export async function startCluster(init: ClusterInit): Promise<Cluster> {
  const processes: ServiceProcess[] = []
  init.cleanup.add({
    name: 'the services',
    // Agents first: an agent without its seeder would still try to find it.
    end: async () => {
      await Promise.all(processes.slice(1).map((service) => service.stop()))
      await processes[0]?.stop()
    },
    endNow: () => {
      for (const service of processes) service.kill()
    },
  })
  const start = async (name: string, args: readonly string[]): Promise<ClusterNode> => {
    init.signal.throwIfAborted()
    const common = ['--listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0', '--log-level', 'warn']
    const service = new ServiceProcess(name, [...init.shoal, ...args, ...common])
    processes.push(service)
    service.failed.catch(init.onFailed)
    const { listen } = await orAborted(service.ready, init.signal)
    return { name, listen, url: `http://${listen}` }
  }
  const { folder } = init
  const seeder = await start('seeder', [
    'seeder',
    ...['--data', join(folder, 'seeder')],
    ...['--origin', join(folder, 'origin')],
  ])
  const agents = await Promise.all(
    Array.from({ length: init.agentCount }, (_, index) => `agent-${index + 1}`).map((name) =>
      start(name, ['agent', '--name', name, '--seeder', seeder.url, '--cache', join(folder, name)]),
    ),
  )
  return { seeder, agents }
}
