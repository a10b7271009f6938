/**
 * Goal: what is attached to an image is found through an agent: referrers, and signatures under a tag made of the digest; and
 * an image without any is no error for a client that looks for them.
 * Method: skopeo copies artifacts as any other image, and signatures with the image where it is told to look for them.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildArtifact, buildSignature, signatureTag } from '../support/artifacts.ts'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { type ContainersTool, startSkopeo } from '../support/containers-image.ts'
import { describeWith } from '../support/describe-with.ts'
import { expectDirImage, writeLayout } from '../support/image-folders.ts'
import { buildImage, type Image, mediaTypes } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'

describeWith(['skopeo'], 'attachments', () => {
  let cluster: Cluster
  let skopeo: ContainersTool
  let image: Image
  let unsigned: Image

  beforeAll(async () => {
    cluster = await startCluster({ agents: 1 })
    skopeo = await startSkopeo({ sigstoreAttachments: true })
    image = buildImage({ layers: [await randomLayer({ contentBytes: 300_000, seed: 'attached' })] })
    unsigned = buildImage({ layers: [await randomLayer({ contentBytes: 300_000, seed: 'alone' })] })
    await push('image', { image, unsigned })
  })
  afterAll(async () => {
    await skopeo?.stop()
    await cluster?.stop()
  })

  const path = (name: string) => join(skopeo.folder, name)

  /** Each under its own tag, by way of a layout. */
  async function push(
    layout: string,
    contents: Record<string, Pick<Image, 'manifest' | 'blobs'>>,
  ): Promise<void> {
    const tags = Object.fromEntries(Object.entries(contents).map(([tag, { manifest }]) => [tag, manifest]))
    await writeLayout(path(layout), { tags, blobs: Object.values(contents).flatMap(({ blobs }) => blobs) })
    for (const tag of Object.keys(contents)) {
      const target = `docker://${cluster.seeder.host}/team/app:${tag}`
      await skopeo.run([
        'copy',
        '--preserve-digests',
        '--dest-tls-verify=false',
        `oci:${path(layout)}:${tag}`,
        target,
      ])
    }
  }

  async function pull(tag: string): Promise<string> {
    const folder = path(`pulled-${tag}`)
    const source = `docker://${cluster.agents[0]!.host}/team/app:${tag}`
    await skopeo.run(['copy', '--src-tls-verify=false', source, `dir:${folder}`])
    return folder
  }

  it('are listed as referrers, by type, and pulled', async () => {
    const attach = (artifactType: string, content: string) =>
      buildArtifact({ artifactType, content: Buffer.from(content), subject: image.manifest })
    const bill = attach('application/spdx+json', '{"spdxVersion":"SPDX-2.3"}'.padEnd(200_000))
    const scan = attach('application/sarif+json', '{"version":"2.1.0"}')
    await push('artifacts', { bill, scan })

    const referrers = async (query = '') => {
      const answer = await fetch(
        `${cluster.agents[0]!.url}/v2/team/app/referrers/${image.manifest.digest}${query}`,
      )
      expect(answer.headers.get('content-type')).toBe(mediaTypes.oci.index)
      return JSON.parse(await answer.text()).manifests
    }
    const entry = ({ manifest }: typeof bill, artifactType: string) => ({
      mediaType: manifest.mediaType,
      digest: manifest.digest,
      size: manifest.bytes.length,
      artifactType,
    })
    const entries = [entry(bill, 'application/spdx+json'), entry(scan, 'application/sarif+json')]
    const byDigest = (a: { digest: string }, b: { digest: string }) => (a.digest < b.digest ? -1 : 1)
    expect((await referrers()).toSorted(byDigest)).toEqual(entries.toSorted(byDigest))
    expect(await referrers('?artifactType=application/spdx%2Bjson')).toEqual([entries[0]])
    await expectDirImage(await pull('bill'), bill)
    await expectDirImage(await pull('scan'), scan)
  })

  it('that are not there do not fail a pull that looks for them', async () => {
    const folder = await pull('unsigned')
    await expectDirImage(folder, unsigned)
    await expect(readFile(join(folder, 'signature-1'))).rejects.toMatchObject({ code: 'ENOENT' })
    const missing = `${cluster.agents[0]!.url}/v2/team/app/manifests/${signatureTag(unsigned.manifest)}`
    const answer = await fetch(missing)
    expect({ status: answer.status, code: JSON.parse(await answer.text()).errors[0].code }).toEqual({
      status: 404,
      code: 'MANIFEST_UNKNOWN',
    })
  })

  it('by a tag of the digest come along', async () => {
    const signature = buildSignature(image.manifest)
    await push('signature', { [signatureTag(image.manifest)]: signature })
    const folder = await pull('image')
    await expectDirImage(folder, image)
    const payload = Buffer.concat(await signature.blobs[1]!.open().toArray())
    expect((await readFile(join(folder, 'signature-1'))).includes(payload.toString('base64'))).toBe(true)
  })
})
