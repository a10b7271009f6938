/**
 * Goal: docs/limits.md is a list of bounds that are held: every row names a test, every test that it names is there, and its
 * numbers are those of the code.
 * Method: reads the page's tables; compares files with the tree, and numbers with the constants that can be imported.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  HELD_ANSWERS_LIMITS,
  LOOKUP_LIMITS,
  NODE_LIMITS,
  PULL_LIMITS,
  TRACKER_LIMITS,
  TRY_LIMITS,
} from '@shoal/engine'
import { UPSTREAM_LIMITS } from '@shoal/registry-client'
import { DEFAULT_SWARM_LIMITS } from '@shoal/swarm'
import { EVENT_QUEUE_DEFAULTS, POLLER_DEFAULTS } from '@shoal/triggers'
import {
  ANNOUNCED_PEERS_MAX,
  CONTROL_BODY_BYTES_MAX,
  PUBLISH_LINE_BYTES_MAX,
  PUBLISH_REFERENCES_MAX,
  SCRAPED_SWARMS_MAX,
} from '@shoal/wire'
import { describe, expect, test } from 'vitest'
import { UNKEPT_BYTES_MAX } from '../../../agent/src/image-records.ts'
import { PASSING_BLOBS_MAX, RUN_BYTES_MAX } from '../../../agent/src/passing-blobs.ts'
import { ANSWER_TIMEOUT_MS } from '../../../agent/src/push-forwarding.ts'
import { SCRUB_RATE } from '../../../agent/src/scrub-pace.ts'
import { PROBE_INTERVAL_MS } from '../../../agent/src/seeder-health.ts'
import { PROBE_TIMEOUT_MS } from '../../../agent/src/seeder-sight.ts'
import { HANDOUT_RULE } from '../../../engine/src/policy/handout.ts'
import { REPOSITORIES_PER_PAGE_MAX } from '../../../registry/src/catalog-routes.ts'
import { DAMAGED_NAMED_MAX, SCRUB_BYTES_PER_SECOND } from '../../../registry/src/image-store/blob-checks.ts'
import { IMAGE_STORE_LIMITS } from '../../../registry/src/image-store/image-store.ts'
import { LOOKS_PER_PAGE_MAX } from '../../../registry/src/image-store/repositories.ts'
import { BLOB_PLACES, MANIFEST_PLACES, UPLOAD_PLACES } from '../../../registry/src/plugin.ts'
import { HEADERS_TIMEOUT_MS } from '../../../registry-client/src/call.ts'
import { PASSING_BYTES_MAX } from '../../../seeder/src/passing-pieces.ts'
import { HTTP_SERVER_LIMITS } from '../../../service/src/server.ts'
import { PIECE_CHECKS } from '../../../storage/src/piece-checks.ts'
import { PART_PLAN } from '../../../storage/src/s3-writer.ts'
import { expectAnchorsToLead } from '../testing/page-anchors.ts'

const path = fileURLToPath(new URL('../../../../docs/limits.md', import.meta.url))
const page = readFileSync(path, 'utf8')
const HEAD = '| what | for all | from one address | time | test |'
const rows = page
  .slice(page.indexOf('## The bounds\n'))
  .split('\n')
  .filter((line) => line.startsWith('| ') && line !== HEAD && !line.startsWith('| ---'))
  .map((line) => line.split('|').slice(1, -1))
  .map((cells) => cells.map((cell) => cell.trim()))
const links = [...page.matchAll(/\]\(([^)#]+\.test\.ts)\)/g)].map(([, link]) => link!)

describe('the tables', () => {
  test('are those that the page is about, and each has the same columns', () => {
    expect(rows.length).toBeGreaterThan(80)
    expect(page.split(HEAD)).toHaveLength(1 + 10)
    for (const cells of rows) expect(cells, cells[0]).toHaveLength(5)
  })

  test.each(rows.map((cells) => [cells[0], cells.at(-1)!]))('name a test: %s', (_what, cell) => {
    expect(cell).toMatch(/^\[[^\]]+\]\([^)]+\.test\.ts\)(, \[[^\]]+\]\([^)]+\.test\.ts\))*$/)
  })

  test('name tests that there are, by their own names', () => {
    expect(links.length).toBeGreaterThan(80)
    expect(links.filter((link) => !existsSync(join(dirname(path), link)))).toEqual([])
    const named = [...page.matchAll(/\[([^\]]+)\]\(([^)#]+)\.test\.ts\)/g)]
    for (const [, name, link] of named) expect(link).toMatch(new RegExp(`/${name!.replaceAll('.', '\\.')}$`))
  })

  test('have no row twice', () => {
    const whats = rows.map(([what]) => what)
    expect(whats.filter((what, at) => whats.indexOf(what) !== at)).toEqual([])
  })
})

describe('the numbers', () => {
  const n = (value: number) => value.toLocaleString('en-US')
  const mib = (bytes: number) => `${bytes / 1024 ** 2} MiB`
  /** For all, from one address, time. */
  function expectRow(what: string, ...cells: readonly string[]): void {
    const found = rows.find(([first]) => first!.startsWith(what))
    expect(found?.slice(1, 1 + cells.length), what).toEqual(cells)
  }

  test('of HTTP and the registry', () => {
    const { connections, bodies, unreadAnswers, bodyTimeoutMs } = HTTP_SERVER_LIMITS
    expectRow(
      'connections of clients',
      n(connections.connectionsMax),
      n(connections.connectionsPerAddressMax),
    )
    expectRow('requests of a connection', n(connections.requestsPerConnectionMax))
    const bodyTime = `${bodyTimeoutMs / 1_000} s`
    expectRow('small bodies', n(bodies.placesMax), n(bodies.placesPerAddressMax), bodyTime)
    const { bytesMax, bytesPerAddressMax } = unreadAnswers
    const answerTime = `${connections.answerTimeoutMs / 60_000} minutes`
    expectRow('answers that clients', mib(bytesMax), mib(bytesPerAddressMax), answerTime)
    for (const [what, places] of [
      ['uploads that a seeder receives', UPLOAD_PLACES],
      ['manifests that are received', MANIFEST_PLACES],
      ['blobs on their way to clients', BLOB_PLACES],
    ] as const) {
      const patience = `who comes waits ${places.patienceMs / 1_000} s`
      expectRow(what, n(places.placesMax), n(places.placesPerAddressMax), patience)
    }
    const { uploadsMax, uploadIdleMs, uploadsRestingMax, ...uploads } = IMAGE_STORE_LIMITS
    expectRow(
      'a page of the catalog',
      `${n(REPOSITORIES_PER_PAGE_MAX)} names, ${LOOKS_PER_PAGE_MAX} requests to the store`,
    )
    expectRow(
      'a scrub',
      `${mib(SCRUB_BYTES_PER_SECOND)}/s, one at a time, ${n(DAMAGED_NAMED_MAX)} damaged blobs named`,
    )
    expectRow('uploads that a seeder holds', n(uploadsMax), '—', `${uploadIdleMs / 3_600_000} hour`)
    const abandoned = `${uploads.uploadAbandonedMs / 3_600_000} hours anywhere`
    expectRow('uploads that rest', n(uploadsRestingMax), n(uploads.uploadsRestingPerAddressMax), abandoned)
  })

  test('of an agent', () => {
    const probe = `${PROBE_TIMEOUT_MS / 1_000} s, every ${PROBE_INTERVAL_MS / 1_000} s while it is not`
    expectRow('a look whether the seeder', '1 at a time', '—', probe)
    expectRow('blobs that pass through', `${PASSING_BLOBS_MAX}; ${mib(RUN_BYTES_MAX)}`)
    const { contactsAsked, earlySwarmsMax, earlyPeersMax, earlyHashesMax, earlyHashesBytesMax } = PULL_LIMITS
    expectRow('agents asked for one question', n(contactsAsked))
    expectRow('news of swarms that this node', `${n(earlySwarmsMax)} swarms, ${earlyPeersMax} peers each`)
    expectRow('hashes of pieces of such', `${earlyHashesMax} pieces of news, ${mib(earlyHashesBytesMax)}`)
    const arriving = `${PULL_LIMITS.arrivingPullsMax} each, of more than 64 KiB to 256 GiB`
    expectRow('blobs on their way as swarms', arriving)
    expectRow('manifests and tags in memory', `${mib(UNKEPT_BYTES_MAX)}, the latest`)
    expectRow('pieces that are read from disk', n(PIECE_CHECKS.atOnceMax))
    const { bytesPerSecondMin, bytesPerSecondMax } = SCRUB_RATE
    expectRow(
      'the rate at which a cache',
      `from ${bytesPerSecondMin / 1_024} KiB/s to ${mib(bytesPerSecondMax)}/s`,
    )
  })

  test('of the tracker', () => {
    expectRow('neighbours of a member', n(HANDOUT_RULE.degreeMax))
    const { agentsMax, swarmsPerAgentMax, ...standard } = TRACKER_LIMITS
    expectRow('agents of a seeder', n(agentsMax), n(agentsMax / 2))
    expectRow('swarms of an agent', n(swarmsPerAgentMax))
    const ofSwarms = `${n(standard.standardMembersPerSwarmMax)}; ${n(standard.standardMembersMax)}`
    expectRow('standard clients', ofSwarms, n(standard.standardMembersPerAddressMax))
    const { heldMax, heldPerAddressMax, holdMs } = HELD_ANSWERS_LIMITS
    expectRow('announces of standard clients', n(heldMax), n(heldPerAddressMax), `${holdMs / 1_000} s`)
    expectRow('peers of an announce', `${ANNOUNCED_PEERS_MAX}; ${SCRAPED_SWARMS_MAX}`)
    expectRow(
      'agents that try',
      `${TRY_LIMITS.partnersMax}; ${TRY_LIMITS.roundsMax}`,
      '—',
      `${TRY_LIMITS.intervalMs / 1_000} s between two questions of one agent, 2 s a dial, ${TRY_LIMITS.roundMs / 1_000} s a round`,
    )
  })

  test('of look-ups', () => {
    const { perAgent, perAddress, all } = LOOKUP_LIMITS.misses
    expectRow(
      'look-ups of info hashes',
      `${all.perSecond} in a second after ${n(all.atOnce)} at once; of a stream ${perAgent.perSecond} after ${perAgent.atOnce}`,
      `${perAddress.perSecond} after ${n(perAddress.atOnce)}`,
    )
    expectRow('look-ups at a time', n(LOOKUP_LIMITS.atOnceMax))
    const { hashesMax, hashesPerAddressMax, unknownMs } = LOOKUP_LIMITS
    expectRow('info hashes that wait', n(hashesMax), n(hashesPerAddressMax), `${unknownMs / 1_000} s`)
    const { announcesMax, announcesPerAgentMax, announcesPerAddressMax } = LOOKUP_LIMITS
    expectRow(
      'announces that wait',
      `${n(announcesMax)}; ${n(announcesPerAgentMax)}`,
      n(announcesPerAddressMax),
    )
  })

  test('of the peer port', () => {
    const limits = DEFAULT_SWARM_LIMITS
    expectRow('connections with peers', n(limits.connectionsMax))
    expectRow('those of one swarm', n(limits.connectionsPerSwarmMax))
    expectRow('those that have not said', n(limits.unfinishedHandshakesMax))
    expectRow('a block', `${mib(limits.blockBytesMax)}; 128 KiB for what a standard client may ask`)
    expectRow('requests of a peer', n(limits.queuedRequestsPerPeerMax))
    expectRow('blocks that are sent', n(limits.uploadSlots))
    expectRow('asked of one peer', mib(NODE_LIMITS.requestedBytesPerPeerMax))
    expectRow('memory for pieces', `${mib(limits.bufferBytes)}, and a quarter for those that were given up`)
  })

  test('of a seeder whose disk is full', () => {
    expectRow('pieces that a seeder cannot keep', mib(PASSING_BYTES_MAX))
  })

  test('of uploads to S3', () => {
    const { partBytes, longPartBytes, partsMax, completeTimeoutMs } = PART_PLAN
    const beyond = Math.floor((partBytes * partsMax) / 1024 ** 3)
    // One part fills while others are sent: two short ones, or one that is long.
    expectRow(
      'memory of an upload to S3',
      `${mib(3 * partBytes)}; ${mib(2 * longPartBytes)} for blobs beyond ${beyond} GiB`,
    )
    expectRow('parts of an upload', `${n(partsMax)}, of ${mib(partBytes)} each or of ${mib(longPartBytes)}`)
    const completing = `5 minutes for an answer, ${completeTimeoutMs / 60_000} minutes in all`
    expectRow('completing an upload', '—', '—', completing)
    // Whoever pushes, through an agent or not, hears what became of it.
    for (const waitsMs of [ANSWER_TIMEOUT_MS, HEADERS_TIMEOUT_MS])
      expect(waitsMs).toBeGreaterThan(completeTimeoutMs)
  })

  test('of other registries, events and what is watched', () => {
    const { connectionsMax, blobConnectionsMax, redirectsMax, listBytesMax } = UPSTREAM_LIMITS
    expectRow(
      'connections to one registry',
      `${blobConnectionsMax} for blobs, ${connectionsMax} for the rest`,
    )
    expectRow('redirects', n(redirectsMax))
    expectRow('a list of tags or referrers', mib(listBytesMax))
    const { connectTimeoutMs, headersTimeoutMs, bodyIdleTimeoutMs, blobIdleTimeoutMs, answerTimeoutMs } =
      UPSTREAM_LIMITS
    const [connect, headers, silence, blobSilence, whole] = [
      connectTimeoutMs,
      headersTimeoutMs,
      bodyIdleTimeoutMs,
      blobIdleTimeoutMs,
      answerTimeoutMs,
    ].map((ms) => ms / 1_000)
    expectRow(
      'an answer of one',
      '—',
      '—',
      `${connect} s to connect, ${headers} s for headers, ${silence} s of silence in a body, ${blobSilence} s in a blob’s, ${whole} s for a whole small answer`,
    )
    const { pendingMax, atOnceMax, attemptsMax } = EVENT_QUEUE_DEFAULTS
    expectRow('events that wait', `${n(pendingMax)}; ${atOnceMax}; ${attemptsMax}`)
    expectRow('tags of a watched', n(POLLER_DEFAULTS.tagsMax))
    expectRow('images of one', n(PUBLISH_REFERENCES_MAX))
    expectRow('a control request', `${mib(CONTROL_BODY_BYTES_MAX)}; ${mib(PUBLISH_LINE_BYTES_MAX)}`)
  })
})

test('the page’s anchors lead somewhere', () => {
  expectAnchorsToLead(page)
})
