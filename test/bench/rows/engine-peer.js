/**
 * One peer with one of Shoal's engines, as a process: `engine-peer.js send|receive <engine> <store folder> <info file>`.
 * What it says and hears is in peer-process.ts. JavaScript, because to strip types at run time takes 20 MB of what is measured.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { createPrng, decodeInfo } from '@shoal/core'
import { FilePieceStore, infoHashOf } from '@shoal/storage'
import { createEngine } from '@shoal/swarm'

const HOST = '127.0.0.1'
/** Not known before its handshake, and not needed for it. */
const SENDER_ID = '2d53454e4445522d'.padEnd(40, '0')

const [role, engineName, folder, infoPath] = process.argv.slice(2)
const isSender = role === 'send'
const metainfo = decodeInfo(await readFile(infoPath))
const store = new FilePieceStore({ folder })
await store.start()
const blob = await store.open(metainfo)
const engine = await createEngine(engineName, {
  host: HOST,
  port: 0,
  peerId: isSender ? SENDER_ID : randomBytes(20).toString('hex'),
  prng: createPrng(1),
})
await engine.start()
const swarm = await engine.join({ metainfo, infoHash: infoHashOf(metainfo), pieces: blob })
swarm.on('failed', (error) => {
  throw error
})
let cpuBefore = process.cpuUsage()

createInterface({ input: process.stdin })
  .on('line', (line) => void hear(JSON.parse(line)))
  .on('close', () => process.exit())
answer({ kind: 'ready', port: engine.address.port })

/** @param {import('./peer-process.ts').Question} question */
async function hear(question) {
  switch (question.kind) {
    case 'count':
      cpuBefore = process.cpuUsage()
      return answer({ kind: 'counting' })
    case 'usage':
      return answer({ kind: 'usage', ...(await usage()) })
    case 'fetch': {
      const seconds = await fetchBlob(question.port)
      return answer({ kind: 'done', seconds, ...(await usage()) })
    }
  }
}

/**
 * The clock runs until every piece was verified and written. What the agent does then, to flush the file and to check the
 * digest of the whole, is not in it: neither libtorrent nor curl does that.
 */
async function fetchBlob(port) {
  cpuBefore = process.cpuUsage()
  const startMs = performance.now()
  const finished = new Promise((resolve) => {
    swarm.on('piece', () => {
      if (blob.have.isFull) resolve()
    })
  })
  swarm.connect([{ peerId: SENDER_ID, host: HOST, port, role: 'seeder' }])
  swarm.download()
  await finished
  return (performance.now() - startMs) / 1000
}

async function usage() {
  const { user, system } = process.cpuUsage(cpuBefore)
  return { cpuSeconds: (user + system) / 1e6, peakRssMB: await peakMegabytes() }
}

/** @param {import('./peer-process.ts').Answer} said */
function answer(said) {
  process.stdout.write(`${JSON.stringify(said)}\n`)
}

async function peakMegabytes() {
  const status = await readFile('/proc/self/status', 'utf8')
  return Math.round((Number(/^VmHWM:\s+(\d+) kB/m.exec(status)[1]) * 1.024) / 100) / 10
}
