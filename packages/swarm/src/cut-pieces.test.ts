import { testBlob } from '@shoal/testing/memory-pieces'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { cutPieces, rangeOfPieces } from './cut-pieces.ts'

const blob = testBlob(900_000, 5)

it('gives the same pieces however the stream was chopped, and none that is not whole', async () => {
  const chops = fc.array(fc.integer({ min: 1, max: 400_000 }), { minLength: 1, maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(chops, fc.nat({ max: 3 }), fc.nat({ max: 3 }), async (lengths, from, more) => {
      const indexes = [0, 1, 2, 3].slice(from, from + more + 1)
      const { start, end } = rangeOfPieces(blob.metainfo, indexes)
      const whole: number[] = []
      let given = 0
      async function* body() {
        for (const length of lengths) {
          const chunk = blob.bytes.subarray(start + given, Math.min(end, start + given + length))
          given += chunk.length
          if (chunk.length > 0) yield chunk
        }
      }
      for await (const { index, bytes } of cutPieces(blob.metainfo, indexes, body())) {
        const at = index * blob.metainfo.pieceLength
        expect(blob.bytes.subarray(at, at + bytes.length).equals(bytes)).toBe(true)
        whole.push(index)
      }
      const arrived = indexes.filter((index) => rangeOfPieces(blob.metainfo, [index]).end - start <= given)
      expect(whole).toEqual(arrived)
    }),
  )
})
