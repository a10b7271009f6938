/** Reads the regular files of a tar, for comparing what came out of an engine. */
import { createReadStream } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { extract } from 'tar-stream'

/** @returns content by path, as the tar writes it */
export async function tarFiles(path: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>()
  for await (const entry of createReadStream(path).pipe(extract())) {
    const content = await buffer(entry)
    if (entry.header.type === 'file') files.set(entry.header.name, content)
  }
  return files
}
