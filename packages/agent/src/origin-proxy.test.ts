/**
 * Goal: the origin's URLs are fetched through the proxy that is set, and the seeder's are not, whatever is set.
 * Method: a real proxy in this process that alone knows the origin's name.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { proxiesOf } from '@shoal/service'
import { startTestProxy } from '@shoal/testing/http-proxy'
import { expect, it } from 'vitest'
import { HttpSources } from './http-sources.ts'
import { OriginProxy } from './origin-proxy.ts'

it('leads to the origin alone', async () => {
  await using stack = new AsyncDisposableStack()
  const server = createServer((request, response) =>
    response.writeHead(206).end(request.headers.range === 'bytes=2-4' ? 'lob' : ''),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stack.defer(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const proxy = stack.use(await startTestProxy({ names: { 'bucket.s3.test': address } }))
  const proxies = proxiesOf({ HTTP_PROXY: proxy.url })
  const originProxy = new OriginProxy(
    { proxies },
    { seederUrl: `http://${address}`, connectionsMax: 2, idleTimeoutMs: 5_000 },
  )
  stack.defer(() => originProxy.stop())
  const sources = new HttpSources({ originProxy })
  stack.defer(() => sources.stop())
  const read = async (url: string) => {
    let text = ''
    for await (const chunk of sources.bytes(url, { start: 2, end: 5 }, 'it', new AbortController().signal))
      text += Buffer.from(chunk).toString()
    return text
  }
  expect(await read('http://bucket.s3.test/blob?X-Amz-Signature=secret')).toBe('lob')
  expect(await read(`http://${address}/v2/team/app/blobs/x`)).toBe('lob')
  expect(proxy.asked).toEqual(['GET http://bucket.s3.test/blob?X-Amz-Signature=secret'])
})
