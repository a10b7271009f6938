/**
 * Goal: what every sender really sends is read for what it is; what is not a push is passed over; and whatever else arrives
 * is refused with the place that is wrong, without being quoted and without doing harm.
 * Method: deliveries with all the fields of real ones; the same with one thing wrong; generated pushes there and back;
 * generated JSON of any shape.
 */
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { detectFormat, parseTrigger } from './detect.ts'
import { TriggerInvalidError } from './errors.ts'
import { type PushEvent, TRIGGER_FORMATS, type TriggerFormat } from './push-event.ts'
import {
  artifactory,
  cloudEvent,
  cloudEventBatch,
  distribution,
  distributionEvent,
  dockerHub,
  ecr,
  ghcr,
  harbor,
  harborCloudEvent,
  PUSHED_AT_MS,
  type Pushed,
  quay,
  SENT,
  type SentDelivery,
  shoalEvent,
} from './testing/deliveries.ts'

const RECEIVED_AT_MS = PUSHED_AT_MS + 1_500
const HEX = '35c4a2c15539c6c1e4e5fa4e554dac323ad0107d8eb5c582d6ff386b383b7dce'
const DIGEST = `sha256:${HEX}`
const PUSHED: Pushed = { repository: 'team/app', tag: 'v1.2', digest: DIGEST }
const UNTAGGED: Pushed = { repository: 'team/app', digest: DIGEST }

// biome-ignore lint/suspicious/noExplicitAny: a payload is spoiled in places that its type does not allow
type Json = any

/** As a request is handled: find the format, then read it. */
function receive({ body, headers }: SentDelivery, asked?: string): PushEvent[] {
  return parseTrigger(detectFormat(body, headers, asked), body, { headers, receivedAtMs: RECEIVED_AT_MS })
}

/** The refusal's place, for a delivery that must be refused. */
function refusal(sent: SentDelivery, asked?: string): string {
  try {
    receive(sent, asked)
  } catch (error) {
    if (error instanceof TriggerInvalidError) return error.where
    throw error
  }
  throw new Error('this delivery was taken')
}

/** A delivery whose body is changed by `change`; what is not JSON is lost on the way, as it is in a request. */
function changed(sent: SentDelivery, change: (body: Json) => void): SentDelivery {
  const body = JSON.parse(JSON.stringify(sent.body))
  change(body)
  return { ...sent, body }
}

describe('pushes', () => {
  test.each(SENT)('%s', (_way, format, send) => {
    const sent = changed(send(PUSHED), () => {})
    expect(detectFormat(sent.body, sent.headers)).toBe(format)
    const [event, ...more] = receive(sent)
    expect(more).toEqual([])
    expect(event).toMatchObject({ repository: 'team/app', tag: 'v1.2' })
    // The two that do not say.
    if (format !== 'quay' && format !== 'dockerhub') expect(event?.digest).toBe(DIGEST)
    if (format !== 'quay' && format !== 'artifactory') expect(event?.occurredAtMs).toBe(PUSHED_AT_MS)
  })

  test.each([
    [distribution(PUSHED), 'registry.example:5000'],
    [harbor(PUSHED), 'harbor.example'],
    [harborCloudEvent(PUSHED), 'harbor.example'],
    [quay(PUSHED), 'quay.io'],
    [ecr(PUSHED), '123456789012.dkr.ecr.eu-central-1.amazonaws.com'],
    [artifactory(PUSHED), 'acme.jfrog.example'],
    [dockerHub(PUSHED), 'docker.io'],
    [ghcr(PUSHED), 'ghcr.io'],
    [cloudEvent(PUSHED), 'registry.example:5000'],
  ])('come from the registry that the sender is, %#', (sent, host) => {
    expect(receive(sent)[0]?.registryHost).toBe(host)
  })

  test.each(SENT.filter(([, format]) => format !== 'quay' && format !== 'dockerhub'))(
    'without a tag have their digest: %s',
    (_way, _format, send) => {
      const [event] = receive(changed(send(UNTAGGED), () => {}))
      expect(event).toMatchObject({ repository: 'team/app', digest: DIGEST })
      expect(event).not.toHaveProperty('tag')
    },
  )

  test('there and back: Json repository, tag and digest', () => {
    const name = fc.stringMatching(/^[a-z0-9]{1,8}(?:[._-][a-z0-9]{1,8})?$/)
    const repository = fc.tuple(name, name).map((names) => names.join('/'))
    const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,40}$/)
    const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`)
    const sender = fc.constantFrom(...SENT)
    fc.assert(
      fc.property(sender, repository, tag, digest, ([, , send], ...[repo, tagName, hash]) => {
        const [event] = receive(send({ repository: repo, tag: tagName, digest: hash }))
        expect([event?.repository, event?.tag]).toEqual([repo, tagName])
        expect([undefined, hash]).toContain(event?.digest)
      }),
    )
  })

  it('are told apart by the sender’s id, and by what matters where there is none', () => {
    const ids = (sent: SentDelivery, receivedAtMs: number) =>
      parseTrigger(detectFormat(sent.body, sent.headers), sent.body, {
        headers: sent.headers,
        receivedAtMs,
      })[0]?.id
    for (const send of [distribution, harbor, harborCloudEvent, ecr, dockerHub, ghcr, cloudEvent]) {
      expect(ids(send(PUSHED), 2)).toBe(ids(send(PUSHED), 1))
    }
    // These two say neither when nor which: better to look twice than to miss the second push.
    for (const send of [quay, artifactory]) {
      expect(ids(send(PUSHED), 1)).toBe(ids(send(PUSHED), 1))
      expect(ids(send(PUSHED), 2)).not.toBe(ids(send(PUSHED), 1))
    }
    const later = changed(harbor(PUSHED), (body) => body.occur_at++)
    expect(ids(later, 1)).not.toBe(ids(harbor(PUSHED), 1))
  })
})

describe('what several registries do in their own way', () => {
  it('Distribution: of an envelope the manifests that were pushed, not the blobs, pulls, mounts and deletes', () => {
    const octets = 'application/octet-stream'
    const events = [
      distributionEvent(PUSHED),
      distributionEvent(UNTAGGED),
      distributionEvent(UNTAGGED, 'push', octets),
      distributionEvent(PUSHED, 'pull'),
      distributionEvent(UNTAGGED, 'mount', octets),
      { action: 'delete', target: { repository: 'team/app', tag: 'v1' } },
    ]
    expect(receive({ ...distribution(PUSHED), body: { events } })).toHaveLength(2)
    expect(receive({ ...distribution(PUSHED), body: { events: [] } })).toEqual([])
  })

  it('Distribution: by its host where there is no URL, by none where no reference could hold it', () => {
    const host = (change: (event: Json) => void) =>
      receive(changed(distribution(PUSHED), (body) => change(body.events[0])))[0]?.registryHost
    expect(host((event) => delete event.target.url)).toBe('registry.example:5000')
    expect(host((event) => (event.target.url = 'javascript:alert(1)'))).toBe('registry.example:5000')
    expect(
      host((event) => {
        event.target.url = 'http://registry/v2/team/app/manifests/v1'
        event.request.host = 'registry'
      }),
    ).toBeUndefined()
  })

  it('Harbor: several resources of one delivery are several events with ids of their own', () => {
    const two = changed(harborCloudEvent(PUSHED), ({ data }) =>
      data.resources.push({ ...data.resources[0], tag: 'v2' }),
    )
    const events = receive(two)
    expect(events.map(({ tag, source }) => [tag, source])).toEqual([
      ['v1.2', 'harbor'],
      ['v2', 'harbor'],
    ])
    expect(new Set(events.map(({ id }) => id)).size).toBe(2)
    expect(receive(two, 'harbor')).toEqual(events)
  })

  it('Harbor: an older one without the full name', () => {
    expect(
      receive(changed(harbor(PUSHED), (body) => delete body.event_data.repository.repo_full_name)),
    ).toEqual(receive(harbor(PUSHED)))
  })

  it('Quay: a list of tags, each once, or the object of old versions', () => {
    const tags = (updated: unknown) =>
      receive(changed(quay(PUSHED), (body) => (body.updated_tags = updated))).map(({ tag }) => tag)
    expect(tags(['a', 'b', 'a'])).toEqual(['a', 'b'])
    expect(tags({ latest: 'b750fe79269d', v1: 'b750fe79269d' })).toEqual(['latest', 'v1'])
    expect(tags([])).toEqual([])
  })

  it('ECR: China’s regions, and no host from an account that is none', () => {
    const host = (change: (event: Json) => void) => receive(changed(ecr(PUSHED), change))[0]?.registryHost
    expect(host((event) => (event.region = 'cn-north-1'))).toBe(
      '123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn',
    )
    expect(host((event) => (event.account = 'evil.example/'))).toBeUndefined()
    expect(host((event) => (event.region = 'x.evil.example'))).toBeUndefined()
  })

  it('Artifactory: the facts at the top as in its documentation', () => {
    const body = {
      repo_key: 'docker-remote-cache',
      event_type: 'pushed',
      path: 'library/ubuntu/latest/list.manifest.json',
      name: 'list.manifest.json',
      sha256: HEX,
      size: 1206,
      image_name: 'library/ubuntu',
      tag: 'latest',
      platforms: [{ architecture: 'arm64', os: 'linux' }],
    }
    expect(receive({ body, headers: {} })).toMatchObject([
      { repository: 'docker-remote-cache/library/ubuntu', tag: 'latest', digest: DIGEST },
    ])
  })

  it('Docker Hub: official images have one segment', () => {
    expect(receive(dockerHub({ ...PUSHED, repository: 'ubuntu' }))[0]?.repository).toBe('library/ubuntu')
  })

  it('GHCR: names are lower case, nested ones too; other packages, actions and the ping are nothing', () => {
    expect(receive(ghcr({ ...PUSHED, repository: 'Team/App/Web' }))[0]?.repository).toBe('team/app/web')
    expect(receive(ghcr(PUSHED, { type: 'NPM' }))).toEqual([])
    expect(receive(ghcr(PUSHED, { action: 'updated' }))).toEqual([])
    expect(receive({ body: { zen: 'Keep it simple.' }, headers: { 'x-github-event': 'ping' } })).toEqual([])
    expect(receive({ ...ghcr(PUSHED), headers: {} })[0]?.tag).toBe('v1.2')
  })

  it('CloudEvents: a batch, and types that are nobody’s business', () => {
    expect(receive(cloudEventBatch(PUSHED, UNTAGGED, { repository: 'b', tag: '1' }))).toHaveLength(3)
    expect(receive(changed(cloudEvent(PUSHED), (body) => (body.type = 'dev.shoal.pull')))).toEqual([])
    expect(receive({ ...cloudEventBatch(), body: [] })).toEqual([])
  })
})

describe('what is no push is passed over', () => {
  test.each([
    ['a pull', harbor(PUSHED, 'PULL_ARTIFACT')],
    ['a delete', harbor(PUSHED, 'DELETE_ARTIFACT')],
    ['a scan', harborCloudEvent(PUSHED, 'harbor.scan.completed')],
    ['a delete', ecr(PUSHED, 'DELETE')],
    ['a failure', ecr(PUSHED, 'PUSH', 'FAILURE')],
    ['a scan', changed(ecr(PUSHED), (body) => (body['detail-type'] = 'ECR Image Scan'))],
    ['a delete', artifactory(PUSHED, 'deleted')],
    ['a promotion', artifactory(PUSHED, 'promoted')],
    ['another domain', changed(artifactory(PUSHED), (body) => (body.domain = 'artifact'))],
    ['a layer', changed(artifactory(PUSHED), (body) => (body.data.name = 'sha256__1'))],
    ['a build', { body: { build_id: '1', docker_url: 'quay.io/a/b', repository: 'a/b' }, headers: {} }],
  ])('%s, %#', (_what, sent) => expect(receive(sent)).toEqual([]))
})

describe('what is wrong is refused, by its place', () => {
  const hidden = 'hunter2-in-a-payload'
  test.each([
    [changed(distribution(PUSHED), (body) => (body.events = {})), 'events'],
    [changed(distribution(PUSHED), (body) => (body.events[0] = 7)), 'events[0]'],
    [changed(distribution(PUSHED), (body) => delete body.events[0].action), 'events[0].action'],
    [changed(distribution(PUSHED), (body) => delete body.events[0].target), 'events[0].target'],
    [changed(distribution(PUSHED), (body) => delete body.events[0].id), 'events[0].id'],
    [
      changed(distribution(PUSHED), (body) => (body.events[0].target.repository = ['a'])),
      'events[0].target.repository',
    ],
    [changed(distribution(PUSHED), (body) => (body.events[0].target.repository = '../a')), 'events[0]'],
    [changed(distribution(PUSHED), (body) => (body.events[0].target.tag = hidden.repeat(20))), 'events[0]'],
    [changed(distribution(PUSHED), (body) => (body.events[0].target.digest = 'sha256:12')), 'events[0]'],
    [
      changed(distribution(PUSHED), (body) => (body.events[0].target.tag = 'x'.repeat(100_000))),
      'events[0].target.tag',
    ],
    [changed(distribution(PUSHED), (body) => (body.events[0].id = 'x'.repeat(2_000))), 'events[0]'],
    [changed(harbor(PUSHED), (body) => delete body.event_data.resources), 'event_data.resources'],
    [changed(harbor(PUSHED), (body) => delete body.event_data.repository), 'event_data.repository'],
    [changed(harbor(PUSHED), (body) => (body.event_data.resources[0] = {})), 'event_data.resources[0]'],
    [changed(harborCloudEvent(PUSHED), (body) => (body.data = 'text')), 'data'],
    [changed(quay(PUSHED), (body) => (body.updated_tags = [1])), 'updated_tags[0]'],
    [changed(quay(PUSHED), (body) => (body.updated_tags = ['a:b'])), 'updated_tags'],
    [changed(quay(PUSHED), (body) => delete body.updated_tags), 'updated_tags'],
    [changed(ecr(PUSHED), (body) => delete body.detail['repository-name']), 'detail.repository-name'],
    [changed(ecr(PUSHED), (body) => (body.detail['image-digest'] = 'sha256:7f5b')), 'detail'],
    [changed(artifactory(PUSHED), (body) => delete body.data.image_name), 'data.image_name'],
    [changed(artifactory(PUSHED), (body) => (body.data.sha256 = HEX.slice(1))), 'data'],
    [changed(dockerHub(PUSHED), (body) => delete body.push_data.tag), 'push_data.tag'],
    [changed(dockerHub(PUSHED), (body) => delete body.repository), 'repository'],
    [changed(ghcr(PUSHED), (body) => delete body.registry_package), 'registry_package'],
    [
      changed(ghcr(PUSHED), (body) => (body.registry_package.package_version = [])),
      'registry_package.package_version',
    ],
    [changed(cloudEvent(PUSHED), (body) => (body.specversion = '0.3')), 'specversion'],
    [changed(cloudEvent(PUSHED), (body) => delete body.id), 'id'],
    [changed(cloudEvent(PUSHED), (body) => (body.source = 's'.repeat(600))), 'source'],
    [changed(cloudEvent(PUSHED), (body) => (body.data_base64 = 'e30=')), 'data_base64'],
    [changed(cloudEvent(PUSHED), (body) => delete body.data.tag && delete body.data.digest), 'data'],
    [changed(cloudEvent(PUSHED), (body) => (body.data.registry = 'a b')), 'data'],
    [changed(cloudEventBatch(PUSHED), (body) => (body[0] = null)), '[0]'],
    [{ ...cloudEventBatch(PUSHED), body: shoalEvent(PUSHED) }, 'the body'],
    [
      { body: {}, headers: { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': 's' } },
      'the ce- headers.type',
    ],
    [{ body: {}, headers: {} }, 'the body'],
    [{ body: [], headers: {} }, 'the body'],
    [{ body: undefined, headers: {} }, 'the body'],
  ])('%#: %o', (sent, where) => {
    expect(refusal(sent)).toBe(where)
    expect(() => receive(sent)).not.toThrow(hidden)
  })

  it('a format that is none, and one that the body does not have', () => {
    expect(refusal(harbor(PUSHED), 'nexus')).toBe('?format=')
    expect(refusal(harbor(PUSHED), '__proto__')).toBe('?format=')
    expect(refusal(harbor(PUSHED), 'ecr')).toBe('detail-type')
  })

  it('the asked format wins over headers and shape', () => {
    const { body } = distribution(PUSHED)
    expect(detectFormat(body, { 'x-github-event': 'package' }, 'distribution')).toBe('distribution')
  })

  it('a time that cannot be read is not said, and no reason to lose a push', () => {
    for (const time of ['yesterday', '2026-13-45T99:99:99Z', '2026', '']) {
      expect(receive(changed(ecr(PUSHED), (body) => (body.time = time)))[0]).not.toHaveProperty(
        'occurredAtMs',
      )
    }
    for (const time of [-1, 1e300, '1', null]) {
      expect(receive(changed(harbor(PUSHED), (body) => (body.occur_at = time)))[0]).not.toHaveProperty(
        'occurredAtMs',
      )
    }
  })
})

describe('hostile deliveries', () => {
  const many = <T>(item: T, count: number) => Array.from({ length: count }, () => item)
  const crowds: readonly ((count: number) => SentDelivery)[] = [
    (count) => ({ ...distribution(PUSHED), body: { events: many(distributionEvent(PUSHED), count) } }),
    (count) => cloudEventBatch(...many(PUSHED, count)),
    (count) =>
      changed(
        harbor(PUSHED),
        ({ event_data }) => (event_data.resources = many(event_data.resources[0], count)),
      ),
    (count) => changed(quay(PUSHED), (body) => (body.updated_tags = many('a', count))),
    (count) =>
      changed(
        quay(PUSHED),
        (body) => (body.updated_tags = Object.fromEntries(many(0, count).map((_, i) => [i, '']))),
      ),
  ]

  test.each(crowds)('1,000 events are taken, 1,001 and 10,000 are not, %#', (crowd) => {
    expect(receive(crowd(1_000)).length).toBeGreaterThan(0)
    refusal(crowd(1_001))
    refusal(crowd(10_000))
  })

  it('a __proto__ says nothing', () => {
    const body = JSON.parse(
      '{"specversion":"1.0","id":"1","source":"s","type":"dev.shoal.push","data":{"repository":"a","__proto__":{"tag":"evil"}}}',
    )
    expect(refusal({ body, headers: {} })).toBe('data')
    const polluted = JSON.parse('{"__proto__":{"events":[]},"constructor":{"prototype":{"events":[]}}}')
    expect(refusal({ body: polluted, headers: {} })).toBe('the body')
    expect(({} as Record<string, unknown>).events).toBeUndefined()
  })

  test('any JSON is events or a TriggerInvalidError, whatever it is said to be', () => {
    const headers = fc.constantFrom<SentDelivery['headers']>(
      {},
      { 'content-type': 'application/cloudevents-batch+json' },
      { 'ce-specversion': '1.0', 'ce-id': '%', 'ce-source': '%zz', 'ce-type': 'dev.shoal.push' },
      { 'x-github-event': 'package' },
    )
    const body = fc.oneof(fc.jsonValue(), fc.anything())
    fc.assert(
      fc.property(body, headers, fc.constantFrom(undefined, ...TRIGGER_FORMATS), (value, sent, asked) => {
        holdsOrIsRefused({ body: value, headers: sent }, asked)
      }),
    )
  })

  test('real deliveries with one value replaced by any JSON do no worse', () => {
    fc.assert(
      fc.property(fc.constantFrom(...SENT), fc.nat(), fc.jsonValue(), ([, , send], place, value) => {
        const sent = changed(send(PUSHED), (body) => replaceOne(body, place, value))
        holdsOrIsRefused(sent)
      }),
      { numRuns: 500 },
    )
  })

  function holdsOrIsRefused(sent: SentDelivery, asked?: TriggerFormat): void {
    try {
      for (const { repository, tag, digest } of receive(sent, asked)) {
        expect(repository).toMatch(/^[a-z0-9][a-z0-9._/-]*$/)
        expect(tag ?? digest).toBeDefined()
      }
    } catch (error) {
      expect(error).toBeInstanceOf(TriggerInvalidError)
    }
  }

  /** Puts `value` in the place of one of the values in `body`, counted depth first. */
  function replaceOne(body: Json, place: number, value: unknown): void {
    const places: [Json, string][] = []
    const visit = (node: Json) => {
      for (const key of Object.keys(node ?? {})) {
        places.push([node, key])
        if (typeof node[key] === 'object') visit(node[key])
      }
    }
    visit(body)
    const [node, key] = places[place % places.length]!
    node[key] = value
  }
})
