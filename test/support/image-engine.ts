/**
 * A private Docker Engine with Shoal's image in it, built by deploy/Dockerfile as a user builds it: only the base differs,
 * since none can be pulled, and what the build needs of this machine's network (a certificate, npm's settings) comes in as
 * secrets. Takes about 40 s, so that suites share one.
 */
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { importBaseImage } from './base-image.ts'
import { programPaths } from './components.ts'
import { type Dockerd, startDockerd } from './dockerd.ts'
import { runProcess } from './process.ts'
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts'

export interface ImageEngine extends AsyncDisposable {
  readonly engine: Dockerd
  /** Of the image: as the pages call it. */
  readonly image: string
  readonly baseImage: string
  /** One of another architecture, with nothing in it that could run. */
  readonly armBaseImage: string
  /** A few kilobytes: to be pushed and pulled. */
  readonly smallImage: string
  /** What `docker build` is given here beside what a page says. */
  readonly buildWords: readonly string[]
  /** A certificate that npm needs here; an empty file where none is. */
  readonly certificate: string
  /** For shell scripts: `docker` is the engine's own client, HOME has npm's settings. */
  readonly environment: Readonly<Record<string, string>>
  readonly folder: TemporaryFolder
  stop(): Promise<void>
}

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const BUILD_TIMEOUT_MS = 300_000
const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy']

export async function startImageEngine(): Promise<ImageEngine> {
  const folder = await temporaryFolder('image')
  const engine = await startDockerd()
  const stop = async () => {
    await engine.stop()
    await folder.remove()
  }
  try {
    const [image, baseImage] = ['registry.example.com/shoal:0.1.0', 'node-base:here']
    const certificate = await certificateOf(folder)
    const environment = await environmentOf(engine, folder)
    await importBaseImage(engine, baseImage)
    const armBaseImage = await emptyImage(engine, folder, 'linux/arm64')
    const smallImage = await emptyImage(engine, folder)
    const buildWords = [
      '--network=host',
      ...['--build-arg', `BUILD_BASE=${baseImage}`],
      ...PROXIES.filter((name) => process.env[name]).flatMap((name) => ['--build-arg', name]),
      ...['--secret', `id=npmrc,src=${join(folder.path, '.npmrc')}`, '--secret', `id=ca,src=${certificate}`],
    ]
    const words = ['--build-arg', `BASE=${baseImage}`, '-f', 'deploy/Dockerfile', '-t', image, '.']
    await engine.docker(['build', ...buildWords, ...words], {
      cwd: REPOSITORY,
      env: { DOCKER_BUILDKIT: '1' },
      timeoutMs: BUILD_TIMEOUT_MS,
    })
    return {
      ...{
        engine,
        image,
        baseImage,
        armBaseImage,
        smallImage,
        buildWords,
        certificate,
        environment,
        folder,
        stop,
      },
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function certificateOf(folder: TemporaryFolder): Promise<string> {
  const path = join(folder.path, 'certificate.pem')
  const given = process.env.NODE_EXTRA_CA_CERTS ?? process.env.SSL_CERT_FILE
  if (given) await copyFile(given, path)
  else await writeFile(path, '')
  return path
}

async function environmentOf(engine: Dockerd, folder: TemporaryFolder): Promise<Record<string, string>> {
  const programs = join(folder.path, 'programs')
  await mkdir(programs)
  await symlink(engine.client, join(programs, 'docker'))
  // The settings of this machine's npm, wherever they come from.
  const own = await readFile(join(homedir(), '.npmrc'), 'utf8').catch(() => '')
  const npm = programPaths('npm')[0]
  if (npm === undefined) throw new Error('npm is not on PATH')
  const registry = (await runProcess(npm, ['config', 'get', 'registry'])).stdout.trim()
  await writeFile(join(folder.path, '.npmrc'), `${own}\nregistry=${registry}\n`)
  return {
    ...engine.environment,
    DOCKER_BUILDKIT: '1',
    HOME: folder.path,
    PATH: [programs, process.env.PATH].join(delimiter),
  }
}

async function emptyImage(engine: Dockerd, folder: TemporaryFolder, platform?: string): Promise<string> {
  const name = platform === undefined ? 'small:here' : `node-base:${platform.replace('/', '-')}`
  const context = join(folder.path, name)
  await mkdir(join(context, 'etc'), { recursive: true })
  await writeFile(join(context, 'Dockerfile'), 'FROM scratch\nCOPY etc /etc\n')
  await writeFile(join(context, 'etc/hostname'), `${name}\n`)
  const words = platform === undefined ? [] : ['--platform', platform]
  await engine.docker(['build', ...words, '-t', name, context], {
    env: { DOCKER_BUILDKIT: '1' },
    timeoutMs: 60_000,
  })
  return name
}
