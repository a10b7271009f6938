#!/usr/bin/env bash
# bittorrent-tracker 11.2.3 gives binary ids as UTF-8: 28 bytes and more for an info hash of 20.
#
# Its server keeps ids as strings of one character a byte, and bencode 4 writes strings as UTF-8. So every byte from 0x80 on becomes
# two: in `/scrape` the keys of `files` are no info hashes (BEP 48: "the 20-byte string representation"), and libtorrent refuses
# the answer; in an announce without `compact=1` each `peer id` (BEP 3) is another than the one that the peer shows in its
# handshake. And `numwant=0`, which clients send that want no peers, is taken for the default of 50, while -1 gives none.
#
# Needs Node 20 or newer and npm. Exits with 1 when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >npm.log
npm install --ignore-scripts --no-audit --no-fund bittorrent-tracker@11.2.3 >>npm.log
cat >ask.mjs <<'JS'
import { createServer } from 'node:http'
import Server from 'bittorrent-tracker/server'

const tracker = new Server({ http: false, udp: false, ws: false, stats: false })
const server = createServer((request, response) =>
  tracker.onHttpRequest(request, response, { action: request.url.startsWith('/scrape') ? 'scrape' : 'announce' }),
)
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const ask = async (path) => {
  const answer = await fetch(`http://127.0.0.1:${server.address().port}${path}`)
  return Buffer.from(await answer.arrayBuffer()).toString('latin1')
}
const escaped = (hex) => hex.replace(/../g, '%$&')
const infoHash = escaped('80'.repeat(8) + '41'.repeat(12))
const announce = (peer, more) =>
  ask(`/announce?info_hash=${infoHash}&peer_id=${escaped(peer.repeat(20))}&port=${0x1a00 + Number.parseInt(peer, 16)}&left=1&event=started${more}`)

await announce('ff', '&compact=0')
const long = await announce('42', '&compact=0')
console.log('peer ids of', [...long.matchAll(/7:peer id(\d+):/g)].map(([, bytes]) => bytes).sort().join(' and '), 'bytes')
const scrape = await ask(`/scrape?info_hash=${infoHash}`)
console.log('a key of', /5:filesd(\d+):/.exec(scrape)[1], 'bytes')
for (const numwant of [0, 1, -1]) {
  const compact = await announce('43', `&compact=1&numwant=${numwant}`)
  console.log(`numwant=${numwant}: ${Number(/5:peers(\d+):/.exec(compact)[1]) / 6} peers`)
}
server.close()
JS
node ask.mjs | tee seen
diff - seen <<'SEEN'
peer ids of 20 and 40 bytes
a key of 28 bytes
numwant=0: 3 peers
numwant=1: 1 peers
numwant=-1: 0 peers
SEEN
