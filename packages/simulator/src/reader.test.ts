/** Goal: layers are read in order, a few at a time. Method: pieces come in any order. */
import { Bitfield } from '@shoal/core'
import { expect, it } from 'vitest'
import { Reader } from './reader.ts'

it('reads the first layers that are not complete, each at its first missing piece', () => {
  const layers = [2, 3, 1, 2].map((count) => new Bitfield(count))
  const reader = new Reader(layers, 2)
  const comes = (layer: number, index: number) => {
    layers[layer]!.set(index)
    return reader.pieceCame(layer, index)
  }
  expect(reader.open()).toEqual([
    { layer: 0, pieceIndex: 0 },
    { layer: 1, pieceIndex: 0 },
  ])
  expect(comes(1, 2)).toBe(false)
  expect(comes(2, 0)).toBe(true)
  expect(comes(0, 0)).toBe(true)
  expect(comes(0, 1)).toBe(true)
  expect(reader.open()).toEqual([
    { layer: 1, pieceIndex: 0 },
    { layer: 3, pieceIndex: 0 },
  ])
  for (const [layer, index] of [
    [1, 0],
    [1, 1],
    [3, 0],
  ] as const)
    comes(layer, index)
  expect(reader.isDone).toBe(false)
  comes(3, 1)
  expect(reader.isDone).toBe(true)
})
