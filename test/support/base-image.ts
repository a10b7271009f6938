/**
 * What stands for an official Node image where none can be pulled: this machine's Node with its libraries, npm, and the
 * shell and the few programs that `RUN` lines and npm's scripts call. Everything lies where those images have it.
 */
import { chmod, cp, mkdir, realpath, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { programPaths } from './components.ts'
import type { Dockerd } from './dockerd.ts'
import { runProcess } from './process.ts'
import { sharedLibraries } from './runnable-image.ts'
import { temporaryFolder } from './temporary-folder.ts'

const PROGRAMS = ['sh', 'env', 'mkdir', 'cat', 'ls', 'id', 'sleep']
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Loads it into the engine under `name`. */
export async function importBaseImage(engine: Dockerd, name: string): Promise<void> {
  await using folder = await temporaryFolder('base-image')
  const root = join(folder.path, 'root')
  const tar = join(folder.path, 'base.tar')
  await fill(root)
  await runProcess('tar', ['--owner=0', '--group=0', '-C', root, '-cf', tar, '.'], { timeoutMs: 60_000 })
  await engine.docker(['import', '--change', `ENV PATH=${PATH}`, tar, name], { timeoutMs: 60_000 })
}

async function fill(root: string): Promise<void> {
  const at = (path: string) => join(root, path)
  for (const path of ['usr/local/bin', 'usr/local/lib/node_modules', 'usr/bin', 'etc', 'root', 'var/lib'])
    await mkdir(at(path), { recursive: true })
  await mkdir(at('tmp'))
  await chmod(at('tmp'), 0o1777)
  // As on Debian, so that a library's path is right under either of its names.
  await mkdir(at('usr/lib64'))
  for (const name of ['bin', 'lib', 'lib64']) {
    await mkdir(at(`usr/${name}`), { recursive: true })
    await symlink(`usr/${name}`, at(name))
  }
  const programs = PROGRAMS.map((name) => {
    const [path] = programPaths(name)
    if (path === undefined) throw new Error(`${name} is not on PATH`)
    return { from: path, to: `usr/bin/${name}` }
  })
  const node = { from: process.execPath, to: 'usr/local/bin/node' }
  const libraries = await Promise.all([node, ...programs].map(({ from }) => sharedLibraries(from)))
  for (const { from, to } of [node, ...programs]) await cp(from, at(to), { dereference: true })
  for (const path of new Set(libraries.flat())) {
    const to = at(path.replace(/^\/(lib|lib64)\//, '/usr/$1/'))
    await mkdir(dirname(to), { recursive: true })
    await cp(path, to, { dereference: true })
  }
  await cp(await npmFolder(), at('usr/local/lib/node_modules/npm'), { recursive: true })
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', at('usr/local/bin/npm'))
  await writeFile(at('etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  await writeFile(at('etc/group'), 'root:x:0:\n')
  await writeFile(at('etc/nsswitch.conf'), 'hosts: files dns\n')
}

/** npm as it is distributed: with its dependencies in its own folder. */
async function npmFolder(): Promise<string> {
  for (const program of [process.env.npm_execpath, ...programPaths('npm')]) {
    if (program === undefined) continue
    const folder = dirname(dirname(await realpath(program)))
    const isWhole = await realpath(join(folder, 'node_modules/@npmcli/arborist')).then(
      () => true,
      () => false,
    )
    if (isWhole) return folder
  }
  throw new Error('no npm with its own node_modules was found')
}
