/** docs/install/docker.md, typed as it stands; Compose with Ceph's gateway in place of the S3 server that cannot be pulled. */
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createConnection, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type CephRgw, startCephRgw } from '../../support/ceph-rgw.ts'
import { type DockerRegistry, startDockerRegistry } from '../../support/docker-registry.ts'
import { freePort } from '../../support/free-port.ts'
import { type ImageEngine, REPOSITORY } from '../../support/image-engine.ts'
import type { PageCommands } from '../../support/page-commands.ts'
import { runPage } from '../../support/page-runner.ts'
import { runProcess } from '../../support/process.ts'

const COMPOSE_FILE = join(REPOSITORY, 'deploy/compose/compose.yaml')
/** Not one of those that Docker chooses from by itself, and hardly the one of another run on this machine. */
const NETWORK = `10.231.${randomInt(1, 255)}`

export function dockerPageSuite(use: () => ImageEngine): void {
  let ceph: CephRgw
  let registry: DockerRegistry
  let forwarder: Server
  let forwarderPort: number
  beforeAll(async () => {
    ;[ceph, registry] = await Promise.all([startCephRgw(), startDockerRegistry()])
    await ceph.createBucket('my-bucket')
    // The gateway listens on loopback, where containers in a network of their own do not get to.
    forwarderPort = await freePort()
    forwarder = await forward(forwarderPort, Number(new URL(ceph.endpoint).port))
  })
  afterAll(async () => {
    forwarder?.close()
    await Promise.all([ceph?.stop(), registry?.stop()])
  })

  test('every command of the page does what it says', async () => {
    const {
      engine,
      folder,
      environment,
      baseImage,
      armBaseImage,
      smallImage,
      buildWords,
      certificate,
      image,
    } = use()
    const port = async () => String(await freePort())
    const [seeder, seederPeers, agentPeers, laptop] = [await port(), await port(), await port(), await port()]
    const agents = [await port(), await port(), await port()]
    const here = `${registry.host}/shoal:0.1.0`
    const override = join(folder.path, 'compose.here.yaml')
    await writeFile(override, composeHere(here))
    const build = `docker build ${buildWords.join(' ')}`
    const bucket = new URL(ceph.endpoint).host
    const page = readFileSync(join(REPOSITORY, 'docs/install/docker.md'), 'utf8')
    // Blocks write their own files into the folder that they are typed in, and build from the repository.
    const cwd = join(folder.path, 'docker-page')
    await mkdir(cwd)
    const host = join(folder.path, 'docker-page-host')
    await mkdir(join(host, 'docker'), { recursive: true })
    const daemonJson = join(host, 'docker/daemon.json')
    await writeFile(daemonJson, '{"log-driver":   "json-file"}')
    const env = {
      ...environment,
      ...{ SHOAL_IMAGE: here, SEEDER_PORT: laptop },
      ...Object.fromEntries(agents.map((number, i) => [`AGENT_${i + 1}_PORT`, number])),
      ...{ AWS_ACCESS_KEY_ID: ceph.accessKeyId, AWS_SECRET_ACCESS_KEY: ceph.secretAccessKey },
      S3_ENDPOINT: `http://${NETWORK}.1:${forwarderPort}`,
      COMPOSE_PROJECT_NAME: 'shoal-page',
    }
    const compose = `docker-compose -f ${COMPOSE_FILE} -f ${override}`
    const substitutions = {
      'docker build -f deploy/Dockerfile --platform': `${build} --build-arg BASE=${armBaseImage} -f deploy/Dockerfile --platform`,
      'docker build -f deploy/Dockerfile -t': `${build} --build-arg BASE=${baseImage} -f deploy/Dockerfile -t`,
      ' .\n': ` ${REPOSITORY}\n`,
      'deploy/Dockerfile': join(REPOSITORY, 'deploy/Dockerfile'),
      '/etc/ssl/corp.pem': certificate,
      '/etc/docker:/host': `${host}/docker:/host`,
      '/var/lib/shoal:/host': `${host}/shoal:/host`,
      // What the page pushes to Shoal need not be large.
      'docker tag registry.example.com/shoal:0.1.0': `docker tag ${smallImage}`,
      'registry.example.com': registry.host,
      'docker compose -f deploy/compose/compose.yaml': compose,
      '10.0.0.10:7000': `127.0.0.1:${seeder}`,
      '10.0.0.10:7001': `127.0.0.1:${seederPeers}`,
      '10.0.0.21:6001': `127.0.0.1:${agentPeers}`,
      '127.0.0.1:7000': `127.0.0.1:${laptop}`,
      '127.0.0.1:5001': `127.0.0.1:${agents[0]}`,
      '127.0.0.1:5002': `127.0.0.1:${agents[1]}`,
      '127.0.0.1:5003': `127.0.0.1:${agents[2]}`,
      'my-key': ceph.accessKeyId,
      'my-secret': ceph.secretAccessKey,
      'region=eu-central-1': `region=${ceph.region}&forcePathStyle=true&endpoint=http://${bucket}`,
    }
    try {
      const mirrors: unknown[] = []
      // In the place of the reload: what Docker would read then.
      const instead = async ({ script }: PageCommands) => {
        if (script !== 'systemctl reload docker\n') return
        mirrors.push(JSON.parse(await readFile(daemonJson, 'utf8')))
      }
      const outputs = await runPage({ page, cwd, env, substitutions, instead })
      expect(mirrors).toEqual([{ 'log-driver': 'json-file', 'registry-mirrors': ['http://127.0.0.1:5001'] }])
      expect(await readFile(daemonJson, 'utf8')).toBe('{"log-driver":   "json-file"}')
      const said = outputs.map(({ stdout }) => stdout).join('')
      expect(said).toMatch(/^ok +test-pull/m)
      const pulls = outputs.flatMap(({ stdout }) => stdout.match(/^Status: .*$/gm) ?? [])
      expect(pulls).toHaveLength(4)
    } finally {
      // A page that failed in the middle leaves what the engine's end would not take: a network.
      const words = ['-f', COMPOSE_FILE, '-f', override, 'down', '--volumes', '--timeout', '1']
      await runProcess('docker-compose', words, { env })
      await engine.docker(['rm', '--force', 'shoal-agent', 'shoal-seeder']).catch(() => {})
    }
    const { stdout } = await engine.docker(['ps', '--all', '--format', '{{.Names}}'])
    expect(stdout.split('\n').filter((name) => /shoal-(seeder|agent|page)/.test(name))).toEqual([])
    expect((await engine.docker(['volume', 'ls', '--quiet'])).stdout).not.toContain('shoal-')
    // The page's own build, of which the fixture's layers were taken.
    const ids = await Promise.all(
      [image, here].map(
        async (name) => (await engine.docker(['image', 'inspect', '--format', '{{.Id}}', name])).stdout,
      ),
    )
    expect(ids[0]).toBe(ids[1])
    expect(await readFile(join(cwd, 'agent.yaml'), 'utf8')).toContain('zone: rack-7')
  }, 300_000)
}

/** What is put over the Compose file where nothing can be pulled. */
function composeHere(image: string): string {
  return `services:
  s3:
    image: ${image}
    entrypoint: [node, -e, 'setInterval(() => {}, 1e9); process.on("SIGTERM", () => process.exit(0))']
    command: []
    healthcheck: { disable: true }
networks:
  default:
    ipam:
      config:
        - subnet: ${NETWORK}.0/24
          gateway: ${NETWORK}.1
`
}

async function forward(from: number, to: number): Promise<Server> {
  const server = createServer((socket) => {
    const upstream = createConnection({ host: '127.0.0.1', port: to })
    socket.pipe(upstream).pipe(socket)
    socket.on('error', () => upstream.destroy())
    upstream.on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(from, '0.0.0.0', resolve))
  return server
}
