/** Two processes with the same engine of Shoal's: the engine alone, without tracker, registry and clients. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { torrentName } from '@shoal/core'
import type { EngineName } from '@shoal/swarm'
import { SHOAL_NODE_FLAGS } from '../../support/shoal.ts'
import { expectBlob, removeFolder } from '../bench-blob.ts'
import { PeerProcess, transferBetween } from './peer-process.ts'
import type { Row, RowInit } from './row.ts'

const PEER = fileURLToPath(new URL('engine-peer.js', import.meta.url))

export function engineRow(name: EngineName, { blob, folder }: RowInit): Row {
  const received = join(folder, name)
  const start = (role: 'send' | 'receive', store: string) =>
    new PeerProcess(process.execPath, [...SHOAL_NODE_FLAGS, PEER, role, name, store, blob.infoPath])
  return {
    name,
    async run(check) {
      try {
        await using sender = start('send', blob.storeFolder)
        await using receiver = start('receive', received)
        const run = await transferBetween(sender, receiver)
        // Not complete()d: it is still under the name of a partial blob.
        if (check)
          await expectBlob(blob.metainfo, join(received, 'partial', torrentName(blob.metainfo.digest)))
        return run
      } finally {
        await removeFolder(received)
      }
    },
    async [Symbol.asyncDispose]() {},
  }
}
