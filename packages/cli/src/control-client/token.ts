/** The token that the seeder's control API wants: from a file, else from `SHOAL_API_TOKEN`. It is never shown to anybody else. */
import { type FileHandle, open } from 'node:fs/promises'
import { TokenError } from './errors.ts'

const TOKEN_BYTES_MAX = 4096
export const TOKEN_VARIABLE = 'SHOAL_API_TOKEN'

/**
 * @param file wins over the variable
 * @throws TokenError
 */
export async function readToken(
  file: string | undefined,
  variables: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const inherited = variables[TOKEN_VARIABLE]
  if (file !== undefined) return checked(await contentOf(file), `--token-file ${file}`)
  if (inherited !== undefined && inherited !== '') return checked(inherited, TOKEN_VARIABLE)
  throw new TokenError('no token', `give the seeder’s API token with --token-file FILE or ${TOKEN_VARIABLE}`)
}

async function contentOf(path: string): Promise<string> {
  let file: FileHandle | undefined
  try {
    file = await open(path)
    // What a shell gives as <(…) has no length beforehand, and comes in parts.
    const bytes = Buffer.alloc(TOKEN_BYTES_MAX + 1)
    let length = 0
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, null)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return bytes.toString('utf8', 0, length)
  } catch (cause) {
    throw new TokenError(`--token-file ${path}`, `it cannot be read: ${(cause as Error).message}`, { cause })
  } finally {
    await file?.close()
  }
}

/** Editors and `echo` end files with a new line; anything else around or in a token is a mistake. */
function checked(text: string, source: string): string {
  const token = text.replace(/\r?\n$/, '')
  if (token === '') throw new TokenError(source, 'it is empty')
  if (text.length > TOKEN_BYTES_MAX)
    throw new TokenError(source, `it is longer than ${TOKEN_BYTES_MAX} characters, which no token is`)
  if (!/^[!-~]+$/.test(token))
    throw new TokenError(
      source,
      'it has spaces, line breaks or letters beyond ASCII in it, which no token has',
    )
  return token
}
