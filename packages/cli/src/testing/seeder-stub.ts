/** A seeder's control API on a real socket that answers as a test tells it to: also wrongly, slowly or not at all. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface SeederStub extends AsyncDisposable {
  readonly url: string
  /** In order of arrival. */
  readonly questions: Question[]
  answer: (question: Question, response: ServerResponse) => void
}

export interface Question {
  /** `METHOD path?query` */
  readonly line: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export async function startSeederStub(): Promise<SeederStub> {
  const server = createServer((request, response) => {
    readWhole(request).then(
      (body) => {
        const question = { line: `${request.method} ${request.url}`, headers: request.headers, body }
        stub.questions.push(question)
        stub.answer(question, response)
      },
      () => response.destroy(),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stub: SeederStub = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    questions: [],
    answer: (_question, response) => response.writeHead(404).end(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return stub
}

export function answerJson(status: number, value: unknown): SeederStub['answer'] {
  return (_question, response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

/** All lines at once, and the orderly end of the answer. */
export function answerLines(lines: readonly object[]): SeederStub['answer'] {
  return (_question, response) => beginLines(response, lines).end()
}

/** The first lines of an answer that goes on. */
export function beginLines(response: ServerResponse, lines: readonly object[]): ServerResponse {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  for (const line of lines) response.write(`${JSON.stringify(line)}\n`)
  return response
}

async function readWhole(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text
}
