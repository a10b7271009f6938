/** What a process took: CPU time and resident memory, as Linux counts them. Megabytes are 10⁶ bytes. */
import { readFile } from 'node:fs/promises'

/** USER_HZ, in which /proc tells times: 100 on every architecture that Linux runs containers on. */
const TICKS_PER_SECOND = 100

/** The most memory that the process ever had resident. */
export async function peakMegabytes(pid: number | 'self'): Promise<number> {
  return statusMegabytes(pid, 'VmHWM')
}

export async function residentMegabytes(pid: number | 'self'): Promise<number> {
  return statusMegabytes(pid, 'VmRSS')
}

/** User and system time of all threads, in steps of 10 ms. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  // proc(5): the second field is the name, in brackets, and may hold anything; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

export async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.trim().split(/\s+/).filter(Boolean).map(Number)
}

async function statusMegabytes(pid: number | 'self', field: 'VmHWM' | 'VmRSS'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]
  if (kibibytes === undefined) throw new Error(`process ${pid} has ended`)
  return Math.round((Number(kibibytes) * 1024) / 1e5) / 10
}
