/**
 * Items in an array, where one is drawn, added or taken out in constant time; the order means nothing. Pure.
 * Each item remembers its own position under the name that the bag was given: no map beside it, a few bytes an item.
 */
import { assert } from '@shoal/core'

export class Bag<Position extends string, Item extends Record<Position, number>> {
  readonly #position: Position
  readonly #items: Item[] = []

  constructor(position: Position) {
    this.#position = position
  }

  get items(): readonly Item[] {
    return this.#items
  }

  get size(): number {
    return this.#items.length
  }

  has(item: Item): boolean {
    return this.#items[item[this.#position]] === item
  }

  add(item: Item): void {
    assert(!this.has(item), 'an item is in a bag once')
    this.#setPosition(item, this.#items.length)
    this.#items.push(item)
  }

  remove(item: Item): void {
    assert(this.has(item), 'what is taken out is in the bag')
    const position: number = item[this.#position]
    const last = this.#items.pop()!
    if (last === item) return
    this.#items[position] = last
    this.#setPosition(last, position)
  }

  #setPosition(item: Item, position: number): void {
    ;(item as Record<Position, number>)[this.#position] = position
  }
}
