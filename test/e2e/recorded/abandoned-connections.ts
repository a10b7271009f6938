/** Connections that a client has closed and a service keeps, by what Linux knows of them. */
import { readFile } from 'node:fs/promises'

/** linux/tcp_states.h: the other side has closed, this one has not. */
const CLOSE_WAIT = '08'

/** @param port of a service on 127.0.0.1 */
export async function abandonedConnections(port: number): Promise<number> {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = (await readFile('/proc/net/tcp', 'latin1')).split('\n').map((row) => row.trim().split(/\s+/))
  return rows.filter(([, address, , state]) => address === local && state === CLOSE_WAIT).length
}
