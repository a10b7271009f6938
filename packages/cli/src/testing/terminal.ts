/** A terminal for programs that draw: keeps all that was written to it. */
import { PassThrough } from 'node:stream'

export interface Terminal {
  readonly stream: NodeJS.WriteStream
  /** Without the escapes that move the cursor. */
  text(): string
}

export function terminal(init: { readonly isTTY: boolean }): Terminal {
  const stream = new PassThrough()
  Object.assign(stream, { isTTY: init.isTTY, columns: 200, rows: 50 })
  let text = ''
  stream.on('data', (chunk) => {
    text += chunk
  })
  return {
    stream: stream as unknown as NodeJS.WriteStream,
    // biome-ignore lint/suspicious/noControlCharactersInRegex: an escape is what is looked for
    text: () => text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, ''),
  }
}
