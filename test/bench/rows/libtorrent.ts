/** Two processes with libtorrent, the fastest BitTorrent implementation in Debian: TCP only, nothing but the two of them. */
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { torrentName } from '@shoal/core'
import { libtorrentPython } from '../../support/components.ts'
import { expectBlob, removeFolder } from '../bench-blob.ts'
import { PeerProcess, transferBetween } from './peer-process.ts'
import { type Row, type RowInit, RowUnavailableError } from './row.ts'

const PEER = fileURLToPath(new URL('libtorrent_peer.py', import.meta.url))

/** @throws RowUnavailableError */
export async function libtorrentRow({ blob, folder }: RowInit): Promise<Row> {
  const python = libtorrentPython()
  if (python === undefined) {
    throw new RowUnavailableError('no python3 has libtorrent', 'apt-get install python3-libtorrent')
  }
  const name = torrentName(blob.metainfo.digest)
  // A torrent's file must have the torrent's name.
  const sent = join(folder, 'libtorrent-sender')
  await mkdir(sent, { recursive: true })
  await symlink(blob.path, join(sent, name))
  const received = join(folder, 'libtorrent-receiver')
  const start = (role: 'send' | 'receive', savePath: string) =>
    new PeerProcess(python, [PEER, role, savePath, blob.torrentPath])
  return {
    name: 'libtorrent',
    async run(check) {
      try {
        await mkdir(received, { recursive: true })
        await using sender = start('send', sent)
        await using receiver = start('receive', received)
        const run = await transferBetween(sender, receiver)
        if (check) await expectBlob(blob.metainfo, join(received, name))
        return run
      } finally {
        await removeFolder(received)
      }
    },
    [Symbol.asyncDispose]: () => removeFolder(sent),
  }
}
