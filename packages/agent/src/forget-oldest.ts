/** Bounds what is remembered: a Map iterates in order of insertion. */
export function forgetOldest(map: Map<unknown, unknown>, sizeMax: number): void {
  for (const key of map.keys()) {
    if (map.size <= sizeMax) return
    map.delete(key)
  }
}
