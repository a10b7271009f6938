/** Which zone this node is in: as it is set, or as a file says that somebody writes who knows it. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { ZoneFileError } from './errors.ts'
import type { AgentSettings } from './settings.ts'

/** What the tracker takes. */
const ZONE_LENGTH_MAX = 255
/** Four bytes a character at most, and the end of the line. */
const READ_BYTES_MAX = 4 * ZONE_LENGTH_MAX + 2

/** @throws ZoneFileError */
export async function zoneOf({ zone, zoneFile }: Pick<AgentSettings, 'zone' | 'zoneFile'>): Promise<string> {
  if (zone !== '' || zoneFile === '') return zone
  const bytes = await beginningOf(zoneFile)
  const text = new TextDecoder().decode(bytes)
  const line = text.split('\n', 1)[0]!
  const isWhole = line.length < text.length || bytes.length < READ_BYTES_MAX
  const found = line.trim()
  if (!isWhole || found.length > ZONE_LENGTH_MAX)
    throw new ZoneFileError(zoneFile, `its first line is longer than ${ZONE_LENGTH_MAX} characters`)
  if (/[\p{Cc}\u{fffd}]/u.test(found)) throw new ZoneFileError(zoneFile, 'its first line is no text')
  return found
}

/** Not more than a zone may have: somebody may have named an image. */
async function beginningOf(path: string): Promise<Uint8Array> {
  try {
    // A pipe that nobody writes to is an empty file, not an agent that never starts.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(READ_BYTES_MAX), 0, READ_BYTES_MAX, 0)
    return buffer.subarray(0, bytesRead)
  } catch (cause) {
    throw new ZoneFileError(path, 'check the path and its permissions', { cause })
  }
}
