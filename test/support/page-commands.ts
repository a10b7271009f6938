/**
 * The shell blocks of a page of the documentation, for the test that types them as a new user would. Pure.
 *
 * A block that cannot be run in a test says so, with the reason, in a comment right before it:
 *
 *     <!-- not run in tests: needs a Kubernetes cluster -->
 */

export interface PageCommands {
  /** Line of the page where the block's first command is, from 1. */
  readonly line: number
  /** The block, with what the test puts in place of what a reader has. */
  readonly script: string
  /** Why no test runs it; absent: one has to. */
  readonly notRun?: string
}

/** What a reader has (a registry, an address) → what the test has instead. */
export type Substitutions = Readonly<Record<string, string>>

const BLOCK = /(?:^<!-- not run in tests: ([^\n]+?) -->\n+)?^( *)```sh\n([\s\S]*?)^\2```$/gm

/**
 * @returns every `sh` block in the order of the page
 * @throws Error when a marked block has no reason worth the name, when a substitution matches nothing, or without any block
 */
export function pageCommands(page: string, substitutions: Substitutions = {}): PageCommands[] {
  const unused = new Set(Object.keys(substitutions))
  const blocks = [...page.matchAll(BLOCK)].map((match): PageCommands => {
    const [whole, notRun, indent = '', text = ''] = match
    const before = page.slice(0, match.index + whole.indexOf('```sh'))
    let script = text.replaceAll(new RegExp(`^${indent}`, 'gm'), '')
    for (const [from, to] of Object.entries(substitutions)) {
      if (!script.includes(from)) continue
      if (notRun === undefined) unused.delete(from)
      script = script.replaceAll(from, to)
    }
    return {
      line: before.split('\n').length + 1,
      script,
      ...(notRun !== undefined && { notRun }),
    }
  })
  if (blocks.length === 0) throw new Error('the page has no sh blocks')
  const curt = blocks.find(({ notRun }) => notRun !== undefined && notRun.split(' ').length < 3)
  if (curt !== undefined) throw new Error(`line ${curt.line}: "${curt.notRun}" does not say why`)
  if (unused.size > 0) throw new Error(`no block that is run has ${[...unused].join(', ')}`)
  return blocks
}
