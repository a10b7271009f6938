/** 150 referrers of an image with 2.4 MB of annotations each, and 30 who ask for their list. */
import { createHash } from 'node:crypto'
import { request } from 'undici'
import { type FloodRow, pause } from '../row.ts'

const REFERRERS = 150
const ANNOTATION_BYTES = 2_400_000
const ASKERS = 30
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const EMPTY = { mediaType: 'application/vnd.oci.empty.v1+json', size: 2 }

export const longReferrers: FloodRow = {
  name: '150 referrers with 2.4 MB of annotations each, and 30 askers',
  async prepare({ url, repository, manifest }) {
    const bytes = Buffer.from('{}')
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    const base = `${url}/v2/${repository}`
    const blob = await request(`${base}/blobs/uploads/?digest=${digest}`, { method: 'POST', body: bytes })
    await blob.body.dump()
    const { body: told, headers } = await request(`${base}/manifests/${manifest}`, {
      headers: { accept: MANIFEST },
    })
    const size = Number(headers['content-length'])
    await told.dump()
    for (let n = 0; n < REFERRERS; n++) {
      const text = JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        artifactType: 'application/x-flood',
        config: { ...EMPTY, digest },
        layers: [{ ...EMPTY, digest }],
        subject: { mediaType: MANIFEST, digest: manifest, size },
        annotations: { n: String(n), long: 'x'.repeat(ANNOTATION_BYTES) },
      })
      const own = `sha256:${createHash('sha256').update(text).digest('hex')}`
      const put = await request(`${base}/manifests/${own}`, {
        method: 'PUT',
        headers: { 'content-type': MANIFEST },
        body: text,
      })
      const said = await put.body.text()
      if (put.statusCode !== 201)
        throw new Error(`referrer ${n} was refused with ${put.statusCode}: ${said.slice(0, 200)}`)
    }
  },
  async flood({ url, repository, manifest }, signal, say) {
    const counts: Record<string, number> = {}
    let bytes = 0
    const ask = async () => {
      while (!signal.aborted) {
        try {
          const answer = await request(`${url}/v2/${repository}/referrers/${manifest}`, { signal })
          for await (const chunk of answer.body) bytes += (chunk as Buffer).length
          counts[answer.statusCode] = (counts[answer.statusCode] ?? 0) + 1
        } catch (error) {
          const { name } = error as Error
          counts[name] = (counts[name] ?? 0) + 1
          await pause(100, signal)
        }
      }
    }
    await Promise.all(Array.from({ length: ASKERS }, ask))
    say(`answers ${JSON.stringify(counts)}, ${Math.round(bytes / 1e6)} MB`)
  },
}
