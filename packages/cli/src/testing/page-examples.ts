/** What a page of the documentation has people paste: its code blocks, and the `shoal …` command lines in them. */
import { parse } from 'yaml'

export interface CodeBlock {
  /** `sh`, `yaml`, … */
  readonly language: string
  readonly text: string
}

export function codeBlocksOf(page: string): CodeBlock[] {
  return [...page.matchAll(/^( *)```(\w+)\n([\s\S]*?)^\1```$/gm)].map(([, , language, text]) => ({
    language: language!,
    text: text!,
  }))
}

/** Shell texts: whole `sh` blocks, `run` and `script` of pipelines in YAML, `sh '…'` of those in Groovy. */
export function shellTextsOf({ language, text }: CodeBlock): string[] {
  if (language === 'sh') return [text]
  if (language === 'yaml') return scriptsIn(parse(text))
  if (language === 'groovy') return [...text.matchAll(/\bsh '([^']*)'/g)].map(([, script]) => script!)
  return []
}

/**
 * The words of each `shoal …` command, as a POSIX shell makes them of quotes, continued lines and variables.
 * @param variable what a variable holds
 */
export function shoalCommandsIn(shell: string, variable: (name: string) => string): string[][] {
  const commands: string[][] = [[]]
  const token =
    /\\\n|[ \t]+|(#[^\n]*|&&|\|\|?|;|\n|>+\s*\S+)|((?:'[^']*'|"(?:\\.|[^"])*"|\\.|[^\s'"\\;|&>])+)/g
  for (const [, end, word] of shell.matchAll(token)) {
    if (end !== undefined) commands.push([])
    else if (word !== undefined) commands.at(-1)!.push(word)
  }
  return commands
    .filter(([name]) => name === 'shoal')
    .map(([, ...words]) => words.map((word) => unquoted(word, variable)))
}

function unquoted(word: string, variable: (name: string) => string): string {
  return word.replace(/'([^']*)'|"((?:\\.|[^"])*)"|([^'"]+)/g, (_, single, double, plain) =>
    single !== undefined
      ? single
      : (double ?? plain).replace(/\$\{?(\w+)\}?/g, (_whole: string, name: string) => variable(name)),
  )
}

function scriptsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    if (key === 'run' || key === 'script') return [inner].flat().map(String)
    return scriptsIn(inner)
  })
}
