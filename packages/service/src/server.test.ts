/**
 * Goal: what bounds requests that bring a body leaves those alone that bring none, and a service says how it is. Method: a server
 * with one place for bodies, and one that is told what to say.
 */
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createHttpServer, type Readiness } from './server.ts'

test('a service says what it is, whether it is ready, and what is wrong', async () => {
  let readiness: Readiness = { problems: [], warnings: [] }
  const server = createHttpServer(pino({ level: 'silent' }), {
    service: 'seeder',
    readiness: () => readiness,
  })
  const ask = async () => {
    const answer = await server.inject('/readyz')
    return [answer.statusCode, answer.json()]
  }
  const said = { service: 'seeder', version: expect.any(String) }
  expect(await ask()).toEqual([200, { status: 'ready', ...said }])
  readiness = { problems: [], warnings: ['the disk is full'] }
  expect(await ask()).toEqual([200, { status: 'ready', ...said, warnings: ['the disk is full'] }])
  readiness = { problems: ['the origin is gone'], warnings: [] }
  expect(await ask()).toEqual([503, { status: 'not-ready', ...said, problems: ['the origin is gone'] }])
  await server.close()
})

test('requests without a body take no places for bodies, however long their answers take', async () => {
  const server = createHttpServer(pino({ level: 'silent' }), {
    limits: {
      bodyTimeoutMs: 20,
      bodies: { placesMax: 1, placesPerAddressMax: 1, stallMs: 10, patienceMs: 10 },
    },
  })
  const [all, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let underWay = 0
  server.get('/slow', async () => {
    if (++underWay === 3) all.resolve()
    await answer.promise
    return 'ok'
  })
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  try {
    const asked = Promise.all([1, 2, 3].map(() => fetch(`${url}/slow`)))
    await Promise.race([all.promise, asked])
    // By now a body would have been given up.
    setTimeout(answer.resolve, 60)
    expect((await asked).map(({ status }) => status)).toEqual([200, 200, 200])
  } finally {
    await server.close()
  }
})
