#!/usr/bin/env bash
# webtorrent 3.0.21 (npm) overlooks an unchoke that comes right behind the handshake, and asks for nothing afterwards.
#
# A peer may unchoke at any time (BEP 3): one that serves everybody says so at once, in the packet that has its handshake and
# its bitfield. webtorrent takes that packet apart while it is still setting the connection up, says `interested`, and sends no
# request (five seconds are waited for one). Where the same unchoke comes after its `interested`, it asks at once.
#
# Needs Node 22 or newer and npm. Exits with 1 when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# This node-datachannel brings its compiled part along; others would fetch it from elsewhere.
cat >package.json <<'JSON'
{ "private": true, "dependencies": { "webtorrent": "3.0.21" }, "overrides": { "node-datachannel": "0.33.4" } }
JSON
npm install --ignore-scripts --no-audit --no-fund >npm.log 2>&1
cat >ask.mjs <<'JS'
import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import WebTorrent from 'webtorrent'

const content = Buffer.alloc(16_384, 'x')
const sha1 = (bytes) => createHash('sha1').update(bytes).digest()
const [INTERESTED, REQUEST] = [2, 6]
const message = (id, ...payload) => Buffer.from([0, 0, 0, 1 + payload.length, id, ...payload])
const [unchoke, bitfield] = [message(1), message(5, 0x80)]

async function run(name, isEarly) {
  const info = Buffer.concat([
    Buffer.from(`d6:lengthi${content.length}e4:name${Buffer.byteLength(name)}:${name}12:piece lengthi${content.length}e6:pieces20:`),
    sha1(content),
    Buffer.from('e'),
  ])
  const heard = new Set()
  const server = createServer((socket) => {
    let bytes = Buffer.alloc(0)
    let hasShaken = false
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      if (!hasShaken) {
        if (bytes.length < 68) return
        hasShaken = true
        bytes = bytes.subarray(68)
        const handshake = Buffer.concat([Buffer.from('\x13BitTorrent protocol'), Buffer.alloc(8), sha1(info), Buffer.from('-XX0000-000000000000')])
        socket.write(Buffer.concat([handshake, bitfield, ...(isEarly ? [unchoke] : [])]))
      }
      while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE()) {
        const length = bytes.readUInt32BE()
        const id = length === 0 ? undefined : bytes[4]
        if (id === INTERESTED && !isEarly) socket.write(unchoke)
        if (id === INTERESTED) heard.add('interested')
        if (id === REQUEST) heard.add('request')
        bytes = bytes.subarray(4 + length)
      }
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = new WebTorrent({ dht: false, lsd: false, tracker: false, utp: false, natUpnp: false, natPmp: false, webSeeds: false, secure: 0 })
  const torrent = client.add(Buffer.concat([Buffer.from('d4:info'), info, Buffer.from('e')]), { path: `./${name}` })
  await new Promise((resolve) => torrent.once('ready', resolve))
  torrent.addPeer(`127.0.0.1:${server.address().port}`)
  await sleep(5_000)
  console.log(`${name}: ${[...heard].sort().join(', ')}`)
}
await run('unchoked behind the handshake', true)
await run('unchoked after interested', false)
process.exit()
JS
node ask.mjs | tee seen
diff - seen <<'SEEN'
unchoked behind the handshake: interested
unchoked after interested: interested, request
SEEN
