/**
 * Goal: the Compose file is understood, and what it starts is what was meant. It is run in test/e2e/image.test.ts.
 * Method: docker-compose's own `config`; words and variables go through Shoal's own settings.
 */
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { describeWith } from '../support/describe-with.ts'
import { freePort } from '../support/free-port.ts'
import { ProcessEndedError, runProcess } from '../support/process.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { startedService } from './service-settings.ts'

const FILE = fileURLToPath(new URL('../../deploy/compose/compose.yaml', import.meta.url))
const AGENTS = ['agent-1', 'agent-2', 'agent-3']
/** The machine's own must not come in. */
const env = { SHOAL_IMAGE: '', AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', S3_ENDPOINT: '' }

interface Service {
  readonly image: string
  readonly command?: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
}

describe('create-bucket.mjs', () => {
  const create = (port: number) =>
    runProcess(process.execPath, [join(dirname(FILE), 'create-bucket.mjs'), 'images'], {
      env: {
        ...{ AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret', AWS_REGION: 'us-east-1' },
        S3_ENDPOINT: `http://127.0.0.1:${port}`,
      },
    })

  /** Answers with these one after the other, and with the last from then on. */
  async function serve(port: number, answers: readonly [status: number, body: string][]) {
    const questions: string[] = []
    const server = createServer((request, response) => {
      questions.push(`${request.method} ${request.url}`)
      const [status, body] = answers[Math.min(questions.length, answers.length) - 1]!
      response.writeHead(status, { 'content-type': 'application/xml' }).end(body)
    })
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    const close = () => server.close()
    return { questions, [Symbol.dispose]: close }
  }
  const problem = (code: string) => `<Error><Code>${code}</Code><Message>so it is</Message></Error>`

  test('waits for a server that is not there yet, and for one that is not ready', async () => {
    const port = await freePort()
    const made = create(port)
    using server = await serve(port, [
      [503, problem('ServiceUnavailable')],
      [200, ''],
    ])
    expect((await made).stdout).toBe('the bucket images is there\n')
    expect(server.questions).toEqual(['PUT /images/', 'PUT /images/'])
  })

  test('is content with a bucket that is there', async () => {
    const port = await freePort()
    using _server = await serve(port, [[409, problem('BucketAlreadyOwnedByYou')]])
    expect((await create(port)).stdout).toBe('the bucket images is there\n')
  })

  test('ends at once with 1 when it may not', async () => {
    const port = await freePort()
    using server = await serve(port, [[403, problem('AccessDenied')]])
    await expect(create(port)).rejects.toThrow(/could not be made at http:\S+: so it is/)
    expect(server.questions).toHaveLength(1)
  })
})

describeWith(['docker-compose'], 'the Compose file', () => {
  let services: Record<string, Service>
  beforeAll(async () => {
    const { stdout } = await runProcess('docker-compose', ['-f', FILE, 'config'], { env })
    services = parse(stdout).services
  })

  test('has an S3 server with its bucket, a seeder and three agents', () => {
    expect(Object.keys(services).toSorted()).toEqual([...AGENTS, 'bucket', 's3', 'seeder'])
    expect(services.s3!.image).toMatch(/^[a-z.]+\/[a-z]+\/[a-z]+:v\d+\.\d+\.\d+$/)
    for (const [name, { image }] of Object.entries(services)) {
      if (name !== 's3') expect(image).toBe('registry.example.com/shoal:0.1.0')
    }
  })

  test.each(['seeder', ...AGENTS])('%s takes its settings, has no rights and keeps its state', (name) => {
    const service = services[name]!
    // The AWS SDK's own variables are no settings.
    const variables = Object.entries(service.environment).filter(([key]) => key.startsWith('SHOAL_'))
    const { role, settings, warnings } = startedService(service.command!, Object.fromEntries(variables))
    expect({ role, warnings }).toEqual({ role: name.split('-')[0], warnings: [] })
    expect(settings.listen).toMatch(/^0\.0\.0\.0:/)
    expect(service).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      volumes: [`${name}:/var/lib/shoal:rw`],
    })
    // Of this machine alone.
    for (const port of service.ports!) expect(port).toMatch(/^127\.0\.0\.1:/)
  })

  test('a bucket, a key and an address that agree', () => {
    const { ROOT_ACCESS_KEY_ID: key, ROOT_SECRET_ACCESS_KEY: secret } = services.s3!.environment
    expect(services.seeder!.environment).toMatchObject({
      AWS_ACCESS_KEY_ID: key,
      AWS_SECRET_ACCESS_KEY: secret,
    })
    const origin = new URL(services.seeder!.environment.SHOAL_ORIGIN!)
    expect([origin.hostname]).toEqual(services.bucket!.command)
    expect(origin.searchParams.get('endpoint')).toBe(services.bucket!.environment.S3_ENDPOINT)
    expect(origin.searchParams.get('endpoint')).toBe(`http://s3${services.s3!.command![1]}`)
  })

  test('another file than it understands is refused', async () => {
    await using folder = await temporaryFolder('compose')
    const path = join(folder.path, 'compose.yaml')
    await writeFile(path, 'services:\n  seeder:\n    image: shoal\n    read_onli: true\n')
    await expect(runProcess('docker-compose', ['-f', path, 'config'], { env })).rejects.toThrow(
      ProcessEndedError,
    )
  })
})
