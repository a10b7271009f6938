/**
 * Goal: what two ends of a connection say arrives as it was said, however it is timed.
 * Method: a connection on loopback whose pages come late, and messages at the worst moments.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, Socket } from 'node:net'
import { encodePeerMessage, encodePieceHeader, type PeerMessage, PeerWireDecoder } from '@shoal/wire'
import { expect, it, vi } from 'vitest'
import { PAGE_BYTES, type Page } from './page-pool.ts'
import { PeerConnection } from './peer-connection.ts'

it('keeps messages out of a block that is being sent', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const theirs = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [ours] = await accepted

  const length = 6 * PAGE_BYTES
  const connection: PeerConnection = new PeerConnection(
    {
      pageOf: () => undefined,
      readPage: async (number) => {
        await new Promise((resolve) => setImmediate(resolve))
        connection.send({ kind: 'have', index: number })
        return {
          bytes: new Uint8Array(new SharedArrayBuffer(PAGE_BYTES)),
          users: 1,
          readers: 1,
          cut: undefined,
        } as Page
      },
      donePage: () => {},
      unsentControl: () => {},
    },
    { socket: ours, rest: new Uint8Array(0), shape: { length, pieceLength: length }, blockBytesMax: length },
  )
  const heard: (PeerMessage | 'block')[] = []
  const told = Promise.withResolvers<void>()
  const decoder = new PeerWireDecoder({
    staging: new Uint8Array(16),
    limits: { blockBytesMax: length, bitfieldBytesMax: 1, extendedBytesMax: 1 },
    handler: {
      onMessage: (message) => {
        heard.push(message)
        if (heard.length === 7) told.resolve()
      },
      onBlockBegin: () => {
        heard.push('block')
        return false
      },
      blockTarget: () => undefined,
      onBlockEnd: () => {},
    },
  })
  theirs.on('data', (chunk: Buffer) => decoder.feed(chunk))
  theirs.once('close', () => told.resolve())
  connection.open()
  connection.start()
  connection.sendBlock({ index: 0, begin: 0, length })
  await told.promise
  connection.close()
  server.close()
  const have = (index: number) => ({ kind: 'have', index })
  expect(heard.filter((what) => what !== 'block')).toEqual([0, 1, 2, 3, 4, 5].map(have))
  expect(heard.filter((what) => what === 'block')).toHaveLength(1)
})

it('takes a block for the fetch that asks for it now, where an earlier request was rejected', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const theirs = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [ours] = await accepted
  const page: Page = {
    bytes: new Uint8Array(new SharedArrayBuffer(PAGE_BYTES)),
    users: 1,
    readers: 0,
    cut: undefined,
  }
  const connection = new PeerConnection(
    { pageOf: () => page, readPage: async () => page, donePage: () => {}, unsentControl: () => {} },
    {
      socket: ours,
      rest: new Uint8Array(0),
      shape: { length: 16, pieceLength: 16 },
      blockBytesMax: 16,
    },
  )
  const block = { index: 0, begin: 0, length: 16 }
  connection.open()
  connection.start()
  connection.request(1, block)
  const rejected = once(connection, 'message')
  theirs.write(encodePeerMessage({ kind: 'reject', ...block }))
  await rejected
  connection.request(2, block)
  const arrived = once(connection, 'arrived')
  theirs.write(encodePieceHeader(block))
  theirs.write(new Uint8Array(16).fill(7))
  expect(await arrived).toEqual([2, block])
  expect([...page.bytes.subarray(0, 16)]).toEqual(Array(16).fill(7))
  connection.close()
  theirs.destroy()
  server.close()
})

it('ends after 150 s of silence, and after 30 s in which a peer that is sent to takes nothing', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  await using stack = new AsyncDisposableStack()
  stack.defer(() => void vi.useRealTimers())
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => void server.close())
  async function opened(): Promise<PeerConnection> {
    const accepted = once(server, 'connection')
    const theirs = connect((server.address() as AddressInfo).port, '127.0.0.1')
    stack.defer(() => void theirs.destroy())
    const [socket] = (await accepted) as [Socket]
    const connection = new PeerConnection(
      // A page that never comes: nothing can be taken.
      {
        pageOf: () => undefined,
        readPage: () => new Promise<Page>(() => {}),
        donePage: () => {},
        unsentControl: () => {},
      },
      { socket, rest: new Uint8Array(0), shape: { length: 1, pieceLength: 1 }, blockBytesMax: 1 },
    )
    connection.open()
    connection.start()
    stack.defer(() => connection.close())
    return connection
  }
  // The system's own clock for sockets cannot be set: what it is set to is looked at, and its end is told.
  const timeouts = vi.spyOn(Socket.prototype, 'setTimeout')
  stack.defer(() => timeouts.mockRestore())
  const silent = await opened()
  const [[durationMs, onSilence]] = timeouts.mock.calls as [[number, () => void]]
  expect(durationMs).toBe(150_000)
  onSilence()
  expect(silent.isClosed).toBe(true)

  const connection = await opened()
  connection.sendBlock({ index: 0, begin: 0, length: 1 })
  await new Promise((resolve) => setImmediate(resolve))
  vi.advanceTimersByTime(29_999)
  expect(connection.isClosed).toBe(false)
  vi.advanceTimersByTime(1)
  expect(connection.isClosed).toBe(true)
})
