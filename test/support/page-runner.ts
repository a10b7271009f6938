/** Types a page of the documentation into a shell, block by block, as a new user would. */
import { type PageCommands, pageCommands, type Substitutions } from './page-commands.ts'
import { type CommandOutput, runProcess } from './process.ts'

export interface PageRun {
  readonly page: string
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly substitutions: Substitutions
  /** Called for a block that is marked, in its place. */
  readonly instead?: (block: PageCommands) => Promise<void>
}

const BLOCK_TIMEOUT_MS = 120_000

/**
 * @returns what each block wrote, those that are not run left out
 * @throws Error with the line of the page, when a command of a block fails
 */
export async function runPage({ page, cwd, env, substitutions, instead }: PageRun): Promise<CommandOutput[]> {
  const outputs: CommandOutput[] = []
  for (const block of pageCommands(page, substitutions)) {
    if (block.notRun !== undefined) {
      await instead?.(block)
      continue
    }
    try {
      const words = ['-euo', 'pipefail', '-c', block.script]
      outputs.push(await runProcess('bash', words, { cwd, env, timeoutMs: BLOCK_TIMEOUT_MS }))
    } catch (cause) {
      throw new Error(`line ${block.line} of the page: ${(cause as Error).message}`, { cause })
    }
  }
  return outputs
}
