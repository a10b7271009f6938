/**
 * Asks a `docker-credential-NAME` program for a login. No shell, bounded in time and output; what it prints is a secret and
 * goes nowhere else.
 * Protocol of docker-credential-helpers: the server on stdin, JSON on stdout; not found is an exit code and a sentence.
 */
import { spawn } from 'node:child_process'
import type { Credential } from './credential.ts'
import { CredentialsInvalidError } from './errors.ts'
import { parseJsonObject } from './json-object.ts'

export interface HelperInit {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly timeoutMs: number
}

const OUTPUT_BYTES_MAX = 64 * 1024
const NOT_FOUND = 'credentials not found in native keychain'

/**
 * @returns undefined when the helper knows nothing of the server
 * @throws CredentialsInvalidError
 */
export async function runCredentialHelper(
  name: string,
  server: string,
  init: HelperInit,
): Promise<Credential | undefined> {
  const program = `docker-credential-${name}`
  const { exitCode, output } = await run(program, server, init)
  if (exitCode !== 0) {
    if (output.includes(NOT_FOUND)) return undefined
    throw new CredentialsInvalidError(
      program,
      `it ended with exit code ${exitCode}; run it by hand to see why`,
    )
  }
  const { Username: username, Secret: secret } = parseJsonObject(output) ?? {}
  if (typeof username !== 'string' || typeof secret !== 'string') {
    throw new CredentialsInvalidError(program, 'it printed no JSON with a Username and a Secret')
  }
  if (secret === '') return undefined
  return username === '<token>' ? { identityToken: secret } : { username, password: secret }
}

function run(
  program: string,
  input: string,
  { environment, timeoutMs }: HelperInit,
): Promise<{ exitCode: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { env: { ...environment }, stdio: ['pipe', 'pipe', 'ignore'] })
    const parts: Buffer[] = []
    let bytes = 0
    const fail = (what: string) => {
      clearTimeout(timer)
      child.kill('SIGKILL')
      // A grandchild that holds the pipe open must not keep this process.
      child.stdout.destroy()
      reject(new CredentialsInvalidError(program, what))
    }
    const timer = setTimeout(() => fail(`it did not answer within ${timeoutMs} ms`), timeoutMs)
    child.on('error', (error: NodeJS.ErrnoException) =>
      fail(`it cannot be run (${error.code}); is it installed and on PATH?`),
    )
    child.stdout.on('error', () => fail('its answer could not be read'))
    child.stdout.on('data', (part: Buffer) => {
      bytes += part.length
      parts.push(part)
      if (bytes > OUTPUT_BYTES_MAX) fail(`it printed more than ${OUTPUT_BYTES_MAX} bytes`)
    })
    child.on('close', (exitCode) => {
      clearTimeout(timer)
      resolve({ exitCode, output: Buffer.concat(parts).toString('utf8') })
    })
    // One that ends without reading closes the pipe; its exit code says the rest.
    child.stdin.on('error', () => {})
    child.stdin.end(`${input}\n`)
  })
}
