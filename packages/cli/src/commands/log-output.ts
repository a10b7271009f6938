/** Where a service's log goes: standard output, which may be a file on a disk that gets full. Then the service goes on without. */
import pino, { type DestinationStream } from 'pino'

/** Lines that the system does not take yet; what comes beyond is lost. */
const BYTES_WAITING_MAX = 16 * 1024 * 1024

export function logOutput(): DestinationStream {
  const output = pino.destination({ dest: process.stdout.fd, maxLength: BYTES_WAITING_MAX })
  const { flushSync } = output
  // That it cannot be written to is told nowhere: telling it there would fail again, and so on for ever. What waits is tried
  // again with the next line, but not before the process ends: it would try that for ever, too.
  output.on('error', () => {
    output.flushSync = () => {}
  })
  output.on('write', () => {
    output.flushSync = flushSync
  })
  return output
}
