/**
 * The tracker alone, as a process: the seeder's own HTTP server and tracker, without images. Its messages are in protocol.ts.
 * JavaScript, because to strip types at run time takes 20 MB of what is measured.
 */
import { createPrng } from '@shoal/core'
import { createHttpServer } from '@shoal/registry'
import { Tracker } from '@shoal/tracker'
import { destination, pino } from 'pino'

const log = pino({ level: 'info' }, destination('/dev/null'))
const http = createHttpServer(log)
const tracker = new Tracker({
  log,
  nowMs: () => Date.now(),
  prng: createPrng(1),
  seeder: { peerId: 'ee'.repeat(20), host: '0.0.0.0', port: 7001, role: 'seeder' },
  signingKey: new Uint8Array(44),
  isKnown: async () => true,
  dialPeer: async () => ({ outcome: 'silent', ms: 0 }),
})
tracker.register(http)
await http.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })

process.on('message', () =>
  process.send({ kind: 'counts', agents: tracker.agentCount, swarms: tracker.swarmCount }),
)
process.on('disconnect', () => process.exit())
process.send({ kind: 'ready', port: http.server.address().port })
