/** How long a client waits for the first byte of a body. curl tells of the first byte of the header, which may come earlier. */
import { get } from 'node:http'

/** Reads no further than the first bytes. */
export function firstBodyByteMs(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now()
    const request = get(url, { agent: false }, (response) => {
      response.once('data', () => {
        const ms = performance.now() - startMs
        request.destroy()
        if (response.statusCode === 200) resolve(ms)
        else reject(new Error(`${url} was answered with ${response.statusCode}`))
      })
    })
    request.on('error', reject)
  })
}
