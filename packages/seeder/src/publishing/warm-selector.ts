/**
 * Which nodes are meant: `all`, or terms that must all hold, separated by commas: `zone=eu-*,name=gpu-?`. Pure.
 * Values may have `*` and `?`, and alternatives separated by `|`.
 */
import { SeederError } from '../errors.ts'

export interface Node {
  readonly name: string
  readonly zone: string
}

export class WarmSelectorInvalidError extends SeederError {
  readonly code = 'SEEDER_WARM_SELECTOR_INVALID'
  constructor(text: string) {
    super(
      `${JSON.stringify(text.slice(0, 200))} selects no nodes; expected all, or zone=NAME and name=NAME separated by commas, with * and ? in names`,
    )
  }
}

/** @throws WarmSelectorInvalidError */
export function parseWarmSelector(text: string): (node: Node) => boolean {
  if (text.trim() === 'all') return () => true
  const terms = text.split(',').map((term) => {
    const match = /^\s*(zone|name)\s*=\s*([A-Za-z0-9._*?|:-]{1,255})\s*$/.exec(term)
    if (match === null) throw new WarmSelectorInvalidError(text)
    const key = match[1] as 'zone' | 'name'
    const globs = match[2]!.split('|')
    return (node: Node) => globs.some((glob) => isMatch(glob, node[key]))
  })
  return (node) => terms.every((holds) => holds(node))
}

/**
 * In at most length times length steps: nodes name themselves, and a regular expression with many `.*` can be made to take
 * for ever by a name.
 */
function isMatch(glob: string, text: string): boolean {
  let [at, position] = [0, 0]
  let star: { readonly at: number; position: number } | undefined
  while (position < text.length) {
    if (glob[at] === '*') {
      star = { at, position }
      at++
    } else if (glob[at] === '?' || glob[at] === text[position]) {
      at++
      position++
    } else if (star !== undefined) {
      // The last `*` takes one character more.
      at = star.at + 1
      position = ++star.position
    } else return false
  }
  return /^\**$/.test(glob.slice(at))
}
