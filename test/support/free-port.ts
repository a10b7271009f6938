/** Ports for programs that must be told theirs beforehand. */
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

// Below 32768, where Linux's range for outgoing connections begins: a port that the system itself hands out (`listen(0)`)
// can be taken by anybody's outgoing connection between our asking and the program's listening.
const PORT_MIN = 20_000
const PORT_MAX = 32_000
const ATTEMPTS_MAX = 50
/** Fixtures that start at the same time must not be told the same port before either of them listens. */
const given = new Set<number>()

/**
 * @returns a TCP port on which nothing listens, on any address of this machine, tried by listening there, and that
 * this process was not given before
 * @throws Error when `ATTEMPTS_MAX` ports in a row are taken
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const port = randomInt(PORT_MIN, PORT_MAX)
    if (given.has(port)) continue
    given.add(port)
    if ((await canListen(port, '0.0.0.0')) && (await canListen(port, '127.0.0.1'))) return port
  }
  throw new Error(`no free port between ${PORT_MIN} and ${PORT_MAX} in ${ATTEMPTS_MAX} attempts`)
}

function canListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
