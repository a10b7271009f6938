/**
 * Goal: nodes that are warmed learn every tag of what was pushed, whichever way it was given.
 * Method: images over a folder; an agent that writes down what it is asked to fetch.
 */
import { expect, it } from 'vitest'
import { openOrigin } from '../testing/image-origin.ts'
import { imageOf } from '../testing/images.ts'
import { PushWarmer, type PushWarmerParts } from './push-warmer.ts'
import { parseWarmRules } from './warm-rules.ts'

it('a manifest that is pushed by its digest is warmed with the tags that it was given', async () => {
  const asked: string[] = []
  const tracker = {
    agents: [{ peerId: 'a1', name: 'one', zone: '' }],
    warm: (_to: readonly string[], images: readonly { reference: string }[]) =>
      void asked.push(...images.map(({ reference }) => reference)),
  }
  const warmer = new PushWarmer({ tracker } as unknown as PushWarmerParts, {
    rules: parseWarmRules('team/*:all'),
  })
  await using origin = await openOrigin()
  const { images } = origin
  images.on('manifest-stored', (...manifest) => warmer.pushed(...manifest))
  const image = imageOf('{}', 'layer')
  for (const bytes of image.blobs) await origin.pushBlob('team/app', bytes)
  const { mediaType, bytes, digest } = image.manifest
  await images.putManifest('team/app', { kind: 'digest', digest }, mediaType, bytes, ['1', '1.4'])
  expect(new Set(asked)).toEqual(new Set([digest, '1', '1.4']))
  asked.length = 0
  await images.putManifest('team/app', { kind: 'digest', digest }, mediaType, bytes)
  expect(asked).toEqual([digest])
  await images.putManifest('team/app', { kind: 'tag', tag: '2' }, mediaType, bytes)
  expect(asked).toEqual([digest, digest, '2'])
})
