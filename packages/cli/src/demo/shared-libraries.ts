/**
 * Which shared libraries a program of this machine needs to run. Asks `ldd`; where there is none, and for this very
 * process, reads what the system has mapped and which loader the binary names.
 */
import { execFile } from 'node:child_process'
import { open, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const LDD_TIMEOUT_MS = 10_000
const PROGRAM_HEADER_INTERPRETER = 3
const INTERPRETER_BYTES_MAX = 4_096

/** @returns absolute paths as the loader looks for them, sorted; none for a static program */
export async function sharedLibraries(program: string): Promise<string[]> {
  const loader = await interpreterOf(program)
  if (loader === undefined) return []
  const listed = (await askLdd(program)) ?? (await readMaps())
  return [...new Set([loader, ...listed])].sort()
}

/** @returns undefined where ldd is missing or does not know the program */
async function askLdd(program: string): Promise<string[] | undefined> {
  try {
    const { stdout } = await promisify(execFile)('ldd', [program], { timeout: LDD_TIMEOUT_MS })
    return parseLdd(stdout)
  } catch {
    return undefined
  }
}

/** `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`, a line each. */
export function parseLdd(listing: string): string[] {
  return [...listing.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path]) => path!)
}

async function readMaps(): Promise<string[]> {
  return parseMaps(await readFile('/proc/self/maps', 'utf8').catch(() => ''))
}

/** proc(5): address, permissions, offset, device, inode, path. A file is listed once for each of its mappings. */
export function parseMaps(maps: string): string[] {
  const paths = [...maps.matchAll(/^\S+ \S+ \S+ \S+ \S+ +(\/.*\.so(?:\.[0-9.]+)?)$/gm)].map(
    ([, path]) => path!,
  )
  return [...new Set(paths)]
}

/**
 * The loader that an ELF binary asks for (elf(5), PT_INTERP).
 * @returns undefined for static programs and for whatever is not a 64-bit little-endian ELF
 */
export async function interpreterOf(program: string): Promise<string | undefined> {
  const file = await open(program, 'r')
  try {
    const read = async (offset: number, length: number) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset)
      return buffer.subarray(0, bytesRead)
    }
    const header = await read(0, 64)
    if (header.length < 64 || header.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') return undefined
    const tableOffset = Number(header.readBigUInt64LE(32))
    const entryBytes = header.readUInt16LE(54)
    const entryCount = header.readUInt16LE(56)
    if (entryBytes < 56) return undefined
    const table = await read(tableOffset, entryBytes * entryCount)
    for (let at = 0; at + 56 <= table.length; at += entryBytes) {
      if (table.readUInt32LE(at) !== PROGRAM_HEADER_INTERPRETER) continue
      const length = Number(table.readBigUInt64LE(at + 32))
      if (length > INTERPRETER_BYTES_MAX) return undefined
      const path = await read(Number(table.readBigUInt64LE(at + 8)), length)
      return path.toString('utf8').replace(/\0.*$/s, '')
    }
    return undefined
  } finally {
    await file.close()
  }
}
