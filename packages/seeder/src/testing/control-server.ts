/** A server with the seeder's control routes alone, on a port of the system's choice, and a folder for its secrets. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHttpServer } from '@shoal/service'
import type { FastifyInstance } from 'fastify'
import { silent } from './image-origin.ts'

export interface ControlServer extends AsyncDisposable {
  readonly url: string
}

export async function startControlServer(
  register: (server: FastifyInstance) => Promise<void>,
): Promise<ControlServer> {
  const server = createHttpServer(silent)
  await register(server)
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  return {
    url,
    [Symbol.asyncDispose]: () => server.close(),
  }
}

export interface SecretFolder extends AsyncDisposable {
  readonly path: string
}

export async function secretsOf(text: string): Promise<SecretFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-control-'))
  const path = join(folder, 'secrets')
  await writeFile(path, text)
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
}

/** A POST whose headers are those given and no others: fetch adds a Content-Type of its own. */
export function postBare(
  url: string,
  body: string,
  headers: Record<string, string>,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asking = request(url, { method: 'POST', headers }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      answer.on('end', () => resolve({ status: answer.statusCode!, text }))
    })
    asking.on('error', reject)
    asking.end(body)
  })
}
