/**
 * Goal: a body finds a place as long as there is one, or one whose client is waited for; whoever makes progress keeps his own.
 * Method: bodies that say themselves how long their clients were waited for.
 */
import { expect, test } from 'vitest'
import { BodyPlaces, type BodyPlacesInit, inPlace } from './body-places.ts'

const NEVER = new AbortController().signal

class FakeBody {
  stalled = 0
  hasGivenWay = false
  readonly ip: string

  constructor(ip: string) {
    this.ip = ip
  }
  stalledMs(): number {
    return this.stalled
  }
  giveWay(): void {
    this.hasGivenWay = true
  }
}

const create = (init: Partial<BodyPlacesInit> = {}) =>
  new BodyPlaces({ placesMax: 3, placesPerAddressMax: 2, stallMs: 100, patienceMs: 10_000, ...init })

async function taken(places: BodyPlaces, ip: string): Promise<FakeBody> {
  const body = new FakeBody(ip)
  await places.take(body, NEVER)
  return body
}

test('who was waited for longest gives way, and only from when on it may', async () => {
  const places = create()
  const [a, b, other] = [
    await taken(places, '1.1.1.1'),
    await taken(places, '1.1.1.1'),
    await taken(places, '2.2.2.2'),
  ]
  a.stalled = 150
  b.stalled = 250
  other.stalled = 99
  await taken(places, '3.3.3.3')
  expect([a, b, other].map((body) => body.hasGivenWay)).toEqual([false, true, false])
})

test('who comes on keeps his place, though he was slow before', async () => {
  const places = create()
  const [a, b] = [await taken(places, '1.1.1.1'), await taken(places, '1.1.1.1')]
  a.stalled = 200
  b.stalled = 300
  await taken(places, '1.1.1.1')
  expect(b.hasGivenWay).toBe(true)
  a.stalled = 0
  const short = create({ patienceMs: 1 })
  await taken(short, '1.1.1.1')
  await taken(short, '1.1.1.1')
  await expect(taken(short, '1.1.1.1')).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' })
  expect(a.hasGivenWay).toBe(false)
})

test('who waits gets the place that becomes free, the last that came first, where his address may have one', async () => {
  const places = create()
  const held = [
    await taken(places, '1.1.1.1'),
    await taken(places, '1.1.1.1'),
    await taken(places, '2.2.2.2'),
  ]
  const order: string[] = []
  const waiting = ['1.1.1.1', '3.3.3.3', '4.4.4.4', '1.1.1.1'].map((ip, i) =>
    taken(places, ip).then((body) => {
      order.push(`${ip} ${i}`)
      return body
    }),
  )
  places.free(held[2]!)
  places.free(await waiting[2]!)
  await waiting[1]
  expect(order).toEqual(['4.4.4.4 2', '3.3.3.3 1'])
  places.free(held[0]!)
  await waiting[3]
  expect(order.at(-1)).toBe('1.1.1.1 3')
  places.free(held[1]!)
  await waiting[0]
})

test('who is slow is not pushed out by who has more and comes again and again, unless he brings nothing', async () => {
  const places = create({ placesPerAddressMax: 3, patienceMs: 1 })
  const slow = await taken(places, '1.1.1.1')
  await taken(places, '6.6.6.6')
  await taken(places, '6.6.6.6')
  slow.stalled = 999
  await expect(taken(places, '6.6.6.6')).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' })
  expect(slow.hasGivenWay).toBe(false)
  // Neither does that keep out who has nothing yet.
  await taken(places, '2.2.2.2')
  expect(slow.hasGivenWay).toBe(true)

  const others = create({ placesPerAddressMax: 3 })
  const silent = await taken(others, '1.1.1.1')
  await taken(others, '6.6.6.6')
  await taken(others, '6.6.6.6')
  silent.stalled = 1_000
  await taken(others, '6.6.6.6')
  expect(silent.hasGivenWay).toBe(true)
})

test('a place that becomes free when somebody gives up is not lost', async () => {
  const places = create({ placesMax: 1, patienceMs: 50 })
  const held = await taken(places, '1.1.1.1')
  const leaving = new AbortController()
  const gone = places.take(new FakeBody('2.2.2.2'), leaving.signal)
  leaving.abort(new Error('left'))
  places.free(held)
  await expect(gone).rejects.toThrow('left')
  await taken(places, '3.3.3.3')
})

test('who leaves while he waits leaves nothing', async () => {
  const places = create({ placesMax: 1 })
  const held = await taken(places, '1.1.1.1')
  const leaving = new AbortController()
  const gone = places.take(new FakeBody('2.2.2.2'), leaving.signal)
  leaving.abort(new Error('left'))
  await expect(gone).rejects.toThrow('left')
  places.free(held)
  await expect(inPlace(places, new FakeBody('3.3.3.3'), NEVER, async () => 'done')).resolves.toBe('done')
})

test('1,024 wait for a place; who comes then is refused at once', async () => {
  // Nobody's patience ends here: who is refused was not let wait.
  const places = create({ patienceMs: 2 ** 30 })
  const [a, b] = [await taken(places, '1.1.1.1'), await taken(places, '1.1.1.1')]
  const leave = new AbortController()
  const waiting = Array.from({ length: 1_024 }, () => places.take(new FakeBody('1.1.1.1'), leave.signal))
  const settled = Promise.allSettled(waiting)
  await expect(taken(places, '1.1.1.1')).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' })
  leave.abort(new Error('the client left'))
  expect((await settled).filter(({ status }) => status === 'rejected')).toHaveLength(1_024)
  for (const body of [a, b]) expect(body.hasGivenWay).toBe(false)
})
