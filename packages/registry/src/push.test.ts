/**
 * Goal: every way of pushing ends with the blob readable, and every way of failing leaves nothing behind.
 * Method: the upload routes over real sockets; after each failure the store is looked at, key by key.
 */
import { createHash } from 'node:crypto'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { eventually, openAndSend, rawExchange } from './testing/raw-http.ts'
import {
  codeOf,
  pushBlob,
  pushImage,
  putManifest,
  type RegistryServer,
  startRegistry,
} from './testing/registry-server.ts'

let registry: RegistryServer
beforeEach(async () => {
  registry = await startRegistry()
})
afterEach(() => registry.close())

const content = patternBytes(700_000)
const digest = sha256(content)
const send = (path: string, method: string, body?: Uint8Array | string | ReadableStream, headers = {}) =>
  fetch(path.startsWith('http') ? path : registry.url + path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: body as string }),
    ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
  } as RequestInit)
const begin = async (repository = 'app') => {
  const answer = await send(`/v2/${repository}/blobs/uploads/`, 'POST')
  expect(answer.status).toBe(202)
  expect(answer.headers.get('range')).toBe('0-0')
  const location = answer.headers.get('location')!
  expect(location).toBe(`/v2/${repository}/blobs/uploads/${answer.headers.get('docker-upload-uuid')}`)
  return location
}
const expectStored = async (repository = 'app', of = digest, bytes: Uint8Array = content) => {
  const answer = await send(`/v2/${repository}/blobs/${of}`, 'GET')
  expect(answer.status).toBe(200)
  expect(new Uint8Array(await answer.arrayBuffer())).toEqual(bytes)
}
const expectNothing = () => {
  expect(registry.objects.keys()).toEqual([])
  expect(registry.objects.openWriters).toBe(0)
}

describe('a blob arrives', () => {
  test('in one POST', async () => {
    const answer = await send(`/v2/app/blobs/uploads/?digest=${digest}`, 'POST', content)
    expect(answer.status).toBe(201)
    expect(answer.headers.get('location')).toBe(`/v2/app/blobs/${digest}`)
    expect(answer.headers.get('docker-content-digest')).toBe(digest)
    await expectStored()
    expect(registry.images.uploadCount).toBe(0)
  })

  test('though its client has given up while the store made an object of it', async () => {
    // Stores take minutes for a long object; docker waits 30 s for a header, and asks for the blob when it tries again.
    const { objects } = registry
    const done = Promise.withResolvers<void>()
    const createWriter = objects.createWriter.bind(objects)
    let isCompleting = false
    objects.createWriter = async (key) => {
      const writer = await createWriter(key)
      const complete = async () => {
        isCompleting = true
        await done.promise
        await writer.complete()
      }
      return { ...writer, complete }
    }
    const client = new AbortController()
    const url = `${registry.url}${await begin()}?digest=${digest}`
    const pushing = fetch(url, { method: 'PUT', body: Buffer.from(content), signal: client.signal })
    await expect.poll(() => isCompleting).toBe(true)
    client.abort()
    await expect(pushing).rejects.toThrow()
    done.resolve()
    await expect
      .poll(async () => (await send(`/v2/app/blobs/${digest}`, 'HEAD')).status, { timeout: 10_000 })
      .toBe(200)
    await expectStored()
  })

  test('in POST and PUT', async () => {
    const answer = await send(`${await begin()}?digest=${digest}`, 'PUT', content)
    expect(answer.status).toBe(201)
    await expectStored()
  })

  test('as Docker sends it: PATCH of unknown length without Content-Range, then an empty PUT', async () => {
    const location = await begin()
    const stream = new ReadableStream({
      start(controller) {
        for (let offset = 0; offset < content.length; offset += 30_000) {
          controller.enqueue(content.subarray(offset, offset + 30_000))
        }
        controller.close()
      },
    })
    const patched = await send(location, 'PATCH', stream)
    expect(patched.status).toBe(202)
    expect(patched.headers.get('range')).toBe(`0-${content.length - 1}`)
    const answer = await send(`${patched.headers.get('location')}?digest=${digest}`, 'PUT')
    expect(answer.status).toBe(201)
    await expectStored()
  })

  test('in chunks with Content-Range, the last in the PUT', async () => {
    const location = await begin()
    const chunk = (start: number, end: number) =>
      [content.subarray(start, end), { 'content-range': `${start}-${end - 1}` }] as const
    expect((await send(location, 'PATCH', ...chunk(0, 250_000))).headers.get('range')).toBe('0-249999')
    expect((await send(location, 'PATCH', ...chunk(250_000, 500_000))).headers.get('range')).toBe('0-499999')
    const status = await send(location, 'GET')
    expect(status.status).toBe(204)
    expect(status.headers.get('range')).toBe('0-499999')
    expect(status.headers.get('location')).toBe(location)
    const answer = await send(`${location}?digest=${digest}`, 'PUT', ...chunk(500_000, 700_000))
    expect(answer.status).toBe(201)
    await expectStored()
  })

  test('empty', async () => {
    const empty = sha256('')
    expect((await send(`${await begin()}?digest=${empty}`, 'PUT')).status).toBe(201)
    await expectStored('app', empty, new Uint8Array())
  })

  test('under a sha512 digest, announced late or never', async () => {
    const sha512 = `sha512:${createHash('sha512').update(content).digest('hex')}`
    expect((await send(`${await begin('a')}?digest=${sha512}`, 'PUT', content)).status).toBe(201)
    const location = await begin('b')
    await send(location, 'PATCH', content)
    expect((await send(`${location}?digest=${sha512}`, 'PUT')).status).toBe(201)
    for (const repository of ['a', 'b']) {
      const answer = await send(`/v2/${repository}/blobs/${sha512}`, 'GET')
      expect(new Uint8Array(await answer.arrayBuffer())).toEqual(content)
    }
    // What was received last is the blob's; what lay there before is left to garbage collection.
    expect(registry.objects.keys('content/')).toHaveLength(2)
  })

  test('by mount, where the source has it; else an upload is offered', async () => {
    await pushBlob(registry.url, 'source', content)
    const mount = (query: string) => send(`/v2/target/blobs/uploads/?${query}`, 'POST')
    for (const query of [
      `mount=${digest}&from=nobody`,
      `mount=${sha256('nowhere')}`,
      `mount=${digest}&from=../source`,
      'mount=x&from=source',
    ]) {
      expect((await mount(query)).status).toBe(202)
      expect((await send(`/v2/target/blobs/${digest}`, 'HEAD')).status).toBe(404)
    }
    // Without a source the registry may look for one itself.
    const anonymous = await send(`/v2/other/blobs/uploads/?mount=${digest}`, 'POST')
    expect(anonymous.status).toBe(201)
    await expectStored('other')
    const mounted = await mount(`mount=${digest}&from=source`)
    expect(mounted.status).toBe(201)
    expect(mounted.headers.get('docker-content-digest')).toBe(digest)
    await expectStored('target')
    expect(registry.objects.keys('content/')).toHaveLength(1)
  })
})

describe('an upload that goes wrong leaves nothing', () => {
  const wrong = sha256('something else')

  test('a wrong digest, on each route', async () => {
    const location = await begin()
    await send(location, 'PATCH', content)
    for (const answer of [
      await send(`/v2/app/blobs/uploads/?digest=${wrong}`, 'POST', content),
      await send(`${await begin()}?digest=${wrong}`, 'PUT', content),
      await send(`${location}?digest=${wrong}`, 'PUT'),
    ]) {
      expect(answer.status).toBe(400)
      expect(await codeOf(answer)).toBe('DIGEST_INVALID')
    }
    expectNothing()
    expect(registry.images.uploadCount).toBe(0)
    expect((await send(location, 'GET')).status).toBe(404)
  })

  test('a wrong sha512 digest, found only by reading again', async () => {
    const location = await begin()
    await send(location, 'PATCH', content)
    const answer = await send(`${location}?digest=sha512:${'0'.repeat(128)}`, 'PUT')
    expect(answer.status).toBe(400)
    expectNothing()
  })

  test('a digest that is none is refused before a byte is read, and the upload stays', async () => {
    const location = await begin()
    for (const bad of ['', '?digest=', '?digest=md5:0', '?digest=sha256:XYZ', `?digest=sha256:..%2f..%2fx`]) {
      const answer = await send(location + bad, 'PUT')
      expect(answer.status).toBe(400)
      expect(await codeOf(answer)).toBe('DIGEST_INVALID')
    }
    expect((await send(location, 'GET')).status).toBe(204)
  })

  test('cancelled', async () => {
    const location = await begin()
    await send(location, 'PATCH', content)
    expect((await send(location, 'DELETE')).status).toBe(204)
    expectNothing()
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
      const answer = await send(`${location}?digest=${digest}`, method, method === 'PATCH' ? 'x' : undefined)
      expect(answer.status).toBe(404)
      expect(await codeOf(answer)).toBe('BLOB_UPLOAD_UNKNOWN')
    }
  })

  test('cut while it was sent in one POST', async () => {
    const head = `POST /v2/app/blobs/uploads/?digest=${digest} HTTP/1.1\r\nHost: x\r\nContent-Length: ${content.length}\r\n\r\n`
    const socket = await openAndSend(
      registry.port,
      Buffer.concat([Buffer.from(head), content.subarray(0, 300_000)]),
    )
    await eventually(() => registry.objects.openWriters === 1)
    socket.destroy()
    await eventually(() => registry.images.uploadCount === 0)
    expectNothing()
  })

  test('cut in a PATCH or PUT: what came is kept, no blob appears, and the client can go on', async () => {
    for (const [method, query] of [
      ['PATCH', ''],
      ['PUT', `?digest=${digest}`],
    ]) {
      const location = await begin(method!.toLowerCase())
      const head = `${method} ${location}${query} HTTP/1.1\r\nHost: x\r\nContent-Length: ${content.length}\r\n\r\n`
      const socket = await openAndSend(
        registry.port,
        Buffer.concat([Buffer.from(head), content.subarray(0, 300_000)]),
      )
      await eventually(async () => (await send(location, 'GET')).headers.get('range') === '0-299999')
      socket.destroy()
      const rest = { 'content-range': '300000-699999' }
      let answer = await send(`${location}?digest=${digest}`, 'PUT', content.subarray(300_000), rest)
      // Until the server has seen the first connection go, it is still at work there.
      while (answer.status === 409) {
        answer = await send(`${location}?digest=${digest}`, 'PUT', content.subarray(300_000), rest)
      }
      expect(answer.status).toBe(201)
      await expectStored(method!.toLowerCase())
    }
  })

  test('a client that falls silent is given up', async () => {
    await registry.close()
    registry = await startRegistry({ plugin: { idleTimeoutMs: 100 } })
    const head = `POST /v2/app/blobs/uploads/?digest=${digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc`
    await rawExchange(registry.port, head, 5_000)
    await eventually(() => registry.images.uploadCount === 0)
    expectNothing()
  })

  test('the store fails in the middle: the answer says so and nothing stays', async () => {
    for (const failing of ['write', 'complete', 'put']) {
      registry.objects.fault = (doing) => {
        if (doing === failing) throw new Error('the disk is on fire at /srv/secret')
      }
      const answer = await send(`/v2/app/blobs/uploads/?digest=${digest}`, 'POST', content)
      expect(answer.status).toBe(500)
      expect(await answer.text()).not.toContain('secret')
      registry.objects.fault = () => {}
      expectNothing()
      expect(registry.images.uploadCount).toBe(0)
    }
    expect((await send(`/v2/app/blobs/uploads/?digest=${digest}`, 'POST', content)).status).toBe(201)
    await expectStored()
  })
})

describe('chunks out of order', () => {
  test('are 416 with what was received, and change nothing', async () => {
    const location = await begin()
    await send(location, 'PATCH', content.subarray(0, 1_000), { 'content-range': '0-999' })
    for (const range of [
      '0-999',
      '500-1499',
      '2000-2999',
      'x',
      '5-1',
      '99999999999999999999-99999999999999999999',
    ]) {
      const answer = await send(location, 'PATCH', content.subarray(0, 1_000), { 'content-range': range })
      expect(answer.status).toBe(416)
      expect(answer.headers.get('range')).toBe('0-999')
      expect(answer.headers.get('location')).toBe(location)
      expect(await codeOf(answer)).toBe('RANGE_INVALID')
    }
    expect((await send(location, 'GET')).headers.get('range')).toBe('0-999')
  })

  test('a Content-Range that contradicts the length', async () => {
    const location = await begin()
    const answer = await send(location, 'PATCH', 'abc', { 'content-range': '0-9' })
    expect(answer.status).toBe(400)
    expect(await codeOf(answer)).toBe('SIZE_INVALID')
  })
})

describe('uploads belong to the repository that began them', () => {
  test('the id works nowhere else', async () => {
    const location = await begin('mine')
    const elsewhere = location.replace('/mine/', '/yours/')
    for (const method of ['GET', 'PATCH', 'DELETE']) expect((await send(elsewhere, method)).status).toBe(404)
    expect((await send(`${elsewhere}?digest=${digest}`, 'PUT')).status).toBe(404)
    expect((await send('/v2/mine/blobs/uploads/..%2f..%2fx', 'GET')).status).toBe(404)
    expect((await send(location, 'GET')).status).toBe(204)
  })

  test('their number is bounded', async () => {
    await registry.close()
    registry = await startRegistry({ limits: { uploadsMax: 2 } })
    // Those that rest are let go of, and found again.
    const resting = [await begin(), await begin(), await begin()]
    expect(registry.images.uploadCount).toBe(2)
    let finish = () => {}
    const held = new Promise<void>((resolve) => {
      finish = resolve
    })
    const slowly = () =>
      new ReadableStream({
        async start(controller) {
          controller.enqueue(content.subarray(0, 1_000))
          await held
          controller.close()
        },
      })
    const sending = resting.slice(0, 2).map((location) => send(location, 'PATCH', slowly()))
    const isTaken = async () => (await send('/v2/app/blobs/uploads/', 'POST')).status === 429
    await vi.waitFor(async () => expect(await isTaken()).toBe(true))
    const answer = await send('/v2/app/blobs/uploads/', 'POST')
    expect(await codeOf(answer)).toBe('TOOMANYREQUESTS')
    finish()
    for (const sent of await Promise.all(sending)) expect(sent.status).toBe(202)
    await begin()
  })
})

describe('a manifest', () => {
  const index = (child: string) =>
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [{ mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: child, size: 1 }],
    })
  const indexType = 'application/vnd.oci.image.index.v1+json'
  const manifestKeys = () => registry.objects.keys('repos/app/_manifests', 'repos/app/_tags')

  test('is stored by tag and by digest; a tag moves to what was pushed last', async () => {
    const first = await pushImage(registry.url, 'app', 'v1', 'one')
    const second = await pushImage(registry.url, 'app', 'v1', 'two')
    expect((await send('/v2/app/manifests/v1', 'HEAD')).headers.get('docker-content-digest')).toBe(
      second.digest,
    )
    expect((await send(`/v2/app/manifests/${first.digest}`, 'HEAD')).status).toBe(200)
    const answer = await putManifest(registry.url, 'app', first.digest, first.manifest)
    expect(answer.status).toBe(201)
    expect(answer.headers.get('location')).toBe(`/v2/app/manifests/${first.digest}`)
  })

  test('pushed by digest is given the tags of the query', async () => {
    const { manifest, digest: of } = await pushImage(registry.url, 'app', 'v1', 'one')
    const answer = await send(`/v2/app/manifests/${of}?tag=a&tag=b&tag=a`, 'PUT', manifest, {
      'content-type': 'application/vnd.oci.image.manifest.v1+json',
    })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('oci-tag')).toBe('a, b')
    for (const tag of ['a', 'b'])
      expect((await send(`/v2/app/manifests/${tag}`, 'HEAD')).headers.get('docker-content-digest')).toBe(of)
    const wrong = await send(`/v2/app/manifests/${of}?tag=${'x'.repeat(129)}`, 'PUT', manifest)
    expect(await codeOf(wrong)).toBe('TAG_INVALID')
  })

  test('pushed by digest is given a hundred tags at most', async () => {
    const { manifest, digest: of } = await pushImage(registry.url, 'app', 'v1', 'one')
    const put = (count: number) => {
      const query = Array.from({ length: count }, (_, n) => `tag=t${n}`).join('&')
      return send(`/v2/app/manifests/${of}?${query}`, 'PUT', manifest, {
        'content-type': 'application/vnd.oci.image.manifest.v1+json',
      })
    }
    const refused = await put(101)
    expect([refused.status, await codeOf(refused)]).toEqual([414, 'TAG_INVALID'])
    expect((await send('/v2/app/manifests/t0', 'HEAD')).status).toBe(404)
    expect((await put(100)).status).toBe(201)
  })

  test('an index may come before its children', async () => {
    await pushBlob(registry.url, 'app', 'x')
    const answer = await putManifest(registry.url, 'app', 'multi', index(sha256('nowhere')), indexType)
    expect(answer.status).toBe(201)
    expect((await send('/v2/app/manifests/multi', 'GET')).headers.get('content-type')).toBe(indexType)
  })

  test('an index of blobs, as a build cache is, may name what is not here, and nothing with a wrong size', async () => {
    const digest = await pushBlob(registry.url, 'app', 'a cached layer')
    const list = (...entries: object[]) =>
      JSON.stringify({
        schemaVersion: 2,
        mediaType: indexType,
        manifests: entries.map((entry) => ({
          mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
          ...entry,
        })),
      })
    const layer = { digest, size: 14 }
    const absent = { digest: sha256('nowhere'), size: 1 }
    expect((await putManifest(registry.url, 'app', 'cache', list(layer, absent), indexType)).status).toBe(201)
    const wrong = await putManifest(
      registry.url,
      'app',
      'wrong',
      list(absent, { ...layer, size: 15 }),
      indexType,
    )
    expect([wrong.status, await codeOf(wrong)]).toEqual([400, 'MANIFEST_INVALID'])
  })

  test.each([
    ['no layers', {}],
    ['null for a list', { layers: null, manifests: null }],
    [
      'null for everything that may be absent',
      { mediaType: null, subject: null, artifactType: null, annotations: null },
    ],
  ])('%s: it is taken, and given back to the byte', async (_what, fields) => {
    const config = { digest: await pushBlob(registry.url, 'app', '{}'), size: 2 }
    const manifest = JSON.stringify({ schemaVersion: 2, config, ...fields }, null, 3)
    expect((await putManifest(registry.url, 'app', 'v1', manifest)).status).toBe(201)
    const answer = await send('/v2/app/manifests/v1', 'GET')
    expect(answer.headers.get('content-type')).toBe('application/vnd.oci.image.manifest.v1+json')
    expect(await answer.text()).toBe(manifest)
  })

  test('that names a missing blob is refused, with every missing one', async () => {
    const { manifest } = await pushImage(registry.url, 'other', 'v1', 'one', 'two')
    const answer = await putManifest(registry.url, 'app', 'v1', manifest)
    expect(answer.status).toBe(400)
    const { errors } = (await answer.json()) as { errors: { code: string; detail: { digest: string } }[] }
    expect(errors.map(({ code }) => code)).toEqual(Array(3).fill('MANIFEST_BLOB_UNKNOWN'))
    expect(errors.map(({ detail }) => detail.digest)).toContain(sha256('two'))
    expect(registry.objects.keys('repos/app/')).toEqual([])
  })

  test('of 10 MB is 413, announced or not; the bytes are not kept', async () => {
    const large = new Uint8Array(10_000_000).fill(0x20)
    const announced = await putManifest(registry.url, 'app', 'v1', large)
    expect(announced.status).toBe(413)
    expect(await codeOf(announced)).toBe('MANIFEST_INVALID')
    const stream = new ReadableStream({
      pull(controller) {
        controller.enqueue(large.subarray(0, 65_536))
      },
    })
    const endless = send('/v2/app/manifests/v1', 'PUT', stream, { 'content-type': 'application/json' })
    // Whether an answer or the closed connection is seen first is up to the client.
    await endless.then(async (answer) => expect(answer.status).toBe(413)).catch(() => {})
    expectNothing()
  })

  test('of exactly 4 MiB is taken, one byte more is not', async () => {
    const padded = (length: number) => {
      const bare = index(sha256('nowhere'))
      return bare + ' '.repeat(length - bare.length)
    }
    expect((await putManifest(registry.url, 'app', 'v1', padded(4_194_304), indexType)).status).toBe(201)
    expect((await putManifest(registry.url, 'app', 'v1', padded(4_194_305), indexType)).status).toBe(413)
    expect((await (await send('/v2/app/manifests/v1', 'GET')).text()).length).toBe(4_194_304)
  })

  test.each([
    ['no JSON', '{', undefined, 'MANIFEST_INVALID'],
    ['nothing', '', undefined, 'MANIFEST_INVALID'],
    ['no UTF-8', new Uint8Array([0x7b, 0xff, 0x7d]), undefined, 'MANIFEST_INVALID'],
    [
      'schema 1',
      '{"schemaVersion":1}',
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
      'MANIFEST_INVALID',
    ],
    [
      'another type than it says',
      index(sha256('x')),
      'application/vnd.oci.image.manifest.v1+json',
      'MANIFEST_INVALID',
    ],
    ['a type that nobody knows', '{"schemaVersion":2}', 'application/vnd.example+json', 'MANIFEST_INVALID'],
  ])('%s is refused', async (_, manifest, contentType, code) => {
    const answer = await putManifest(registry.url, 'app', 'v1', manifest, contentType)
    expect(answer.status).toBe(400)
    expect(await codeOf(answer)).toBe(code)
    expect(manifestKeys()).toEqual([])
  })

  test('under a digest that is not its own, or under no reference at all', async () => {
    const put = (reference: string) =>
      putManifest(registry.url, 'app', reference, index(sha256('x')), indexType)
    expect(await codeOf(await put(sha256('other')))).toBe('DIGEST_INVALID')
    expect(await codeOf(await put('sha256:short'))).toBe('DIGEST_INVALID')
    expect(await codeOf(await put('-tag'))).toBe('TAG_INVALID')
    expect(manifestKeys()).toEqual([])
  })

  test('by sha512', async () => {
    const text = index(sha256('x'))
    const sha512 = `sha512:${createHash('sha512').update(text).digest('hex')}`
    expect((await putManifest(registry.url, 'app', sha512, text, indexType)).status).toBe(201)
    expect((await send(`/v2/app/manifests/${sha512}`, 'GET')).status).toBe(200)
  })
})
