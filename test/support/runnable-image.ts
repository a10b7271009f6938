/**
 * Images that really run, made of a program of this machine and the shared libraries that it needs: where tests run, no
 * base image can be pulled.
 */
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { buildImage, type Dialect, type Image } from './images.ts'
import { fileLayer, type Layer, type LayerFile } from './layers.ts'
import { runProcess } from './process.ts'

export interface RunnableInit {
  /** A program of this machine, by its absolute path; `/bin/echo` unless told. In the image it is `/bin/<name>`. */
  readonly program?: string
  readonly args?: readonly string[]
  /** A third layer with files of the caller's. */
  readonly files?: readonly LayerFile[]
  readonly dialect?: Dialect
}

/** An image of one layer of libraries, one with the program, perhaps one with `files`. */
export async function runnableImage(init: RunnableInit = {}): Promise<Image> {
  const program = init.program ?? '/bin/echo'
  const layers = await programLayers(program)
  if (init.files) layers.push(await fileLayer(init.files))
  const entrypoint = [`/bin/${basename(program)}`]
  return buildImage({ layers, entrypoint, cmd: init.args ?? [], dialect: init.dialect ?? 'oci' })
}

/** The Node that runs the tests, with its libraries, and a program for it: some 120 MB before compression. */
export function nodeImage(source: string): Promise<Image> {
  const files = [{ path: 'app/main.js', content: source }]
  return runnableImage({ program: process.execPath, args: ['/app/main.js'], files })
}

/** Libraries first: of several images with the same libraries a registry keeps that layer once. */
export async function programLayers(program: string): Promise<Layer[]> {
  const libraries = await Promise.all((await sharedLibraries(program)).map(asFile))
  const file = { path: `bin/${basename(program)}`, content: await readFile(program), mode: 0o755 }
  return [...(libraries.length > 0 ? [await fileLayer(libraries)] : []), await fileLayer([file])]
}

/** @returns absolute paths, the loader among them; none for a static program */
export async function sharedLibraries(program: string): Promise<string[]> {
  const listing = await runProcess('ldd', [program]).then(
    ({ stdout }) => stdout,
    // ldd ends with code 1 for a static program, which needs nothing.
    () => '',
  )
  // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`
  const paths = [...listing.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path]) => path!)
  return [...new Set(paths)].sort()
}

async function asFile(path: string): Promise<LayerFile> {
  return { path: path.slice(1), content: await readFile(path), mode: 0o755 }
}
