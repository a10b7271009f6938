/** Whether the cache can be written, and has the room that it was promised. Pure. */
import type { FolderReport } from '@shoal/wire'
import { type Finding, failure, ok, together, warning } from '../check-result.ts'
import { bytesText } from './quantities.ts'

/** A disk with less is full for whoever writes layers. */
const FREE_BYTES_MIN = 64 * 1024 ** 2
/** Manifests and tags are written also where the cache has grown as far as it may. */
const RECORD_BYTES_MIN = 1024 ** 2
/** The least that `cacheMaxBytes` may be. */
const CACHE_BYTES_MIN = 1024 ** 2
/** Each blob takes three files. */
const FREE_INODES_MIN = 1_000

export interface CacheRoom {
  readonly usedBytes: number
  readonly maxBytes: number
  /** Of a running agent, where its disk takes nothing more. */
  readonly diskProblem?: string | undefined
  /** Pieces that the disk had spoilt since the agent began. */
  readonly damagedPieces?: number | undefined
}

/** @param isAgent whether the agent itself looked, with its own permissions */
export function judgeCache(state: FolderReport, room: CacheRoom, isAgent: boolean): Finding {
  const { folder, problem } = state
  const measured = { ...state, ...room, seenBy: isAgent ? 'agent' : 'doctor' }
  if (problem !== undefined) return { ...absent(folder, problem, isAgent), measured }
  const findings = [
    writing(state, isAgent),
    passing(room),
    space(state, room),
    rot(room),
    inodes(state),
    kind(state),
  ]
  const found = findings.filter((finding) => finding !== undefined)
  if (found.length > 0) return together(found, measured)
  const { usedBytes, maxBytes } = room
  const disk = `${bytesText(state.freeBytes ?? 0)} free${state.fileSystem === undefined ? '' : ` on ${state.fileSystem}`}`
  const held = isAgent
    ? `${bytesText(usedBytes)} of ${bytesText(maxBytes)} used`
    : `up to ${bytesText(maxBytes)}`
  return ok(`${folder}: ${held}, ${disk}`, measured)
}

function absent(folder: string, problem: string, isAgent: boolean): Finding {
  if (problem === 'ENOTDIR')
    return failure(`${folder}, or something above it, is not a folder`, 'Set `cache` to a folder.')
  if (problem === 'ENOENT' && !isAgent)
    return warning(
      `${folder} does not exist yet`,
      'The agent makes it when it starts; if it has started before, check `cache`.',
    )
  if (problem === 'ENOENT')
    return failure(`${folder} is gone while the agent runs`, 'Bring the disk back, and restart the agent.')
  if (problem === 'TIMEOUT')
    return failure(
      `the disk with ${folder} does not answer`,
      'See dmesg, and whether a mount has lost its server.',
    )
  return failure(`${folder} cannot be looked at (${problem})`, permissionAdvice(isAgent))
}

function writing(
  { folder, writeProblem, ownerId, mode }: FolderReport,
  isAgent: boolean,
): Finding | undefined {
  if (writeProblem === undefined) return undefined
  if (writeProblem === 'EROFS')
    return failure(
      `${folder} is on a disk that is mounted read-only`,
      'Mount it for writing; see dmesg for why it is not.',
    )
  const owner = `it belongs to user ${ownerId}, mode ${mode?.toString(8)}`
  if (!isAgent)
    return warning(
      `${folder} cannot be written by this user (${writeProblem}; ${owner})`,
      'Start the agent and look again: it says whether it can.',
    )
  return failure(`the agent cannot write ${folder} (${writeProblem}; ${owner})`, permissionAdvice(isAgent))
}

function permissionAdvice(isAgent: boolean): string {
  return isAgent
    ? 'Give the folder to the user that the agent runs as (chown).'
    : 'Run this as the agent’s user, or as root.'
}

function passing({ diskProblem }: CacheRoom): Finding | undefined {
  if (diskProblem === undefined) return undefined
  return failure(
    `${diskProblem}; images are passed on to clients from the seeder, and not kept`,
    'Make room on that disk, or see dmesg for why it cannot be written to.',
  )
}

function rot({ damagedPieces = 0 }: CacheRoom): Finding | undefined {
  if (damagedPieces === 0) return undefined
  return warning(
    `the disk has spoilt ${damagedPieces} ${damagedPieces === 1 ? 'piece' : 'pieces'} of cached layers since the agent started; they were fetched again`,
    'See dmesg and smartctl for how that disk is, and who else writes into the cache’s folder.',
  )
}

/** What is left to grow into must be there. */
function space(
  { freeBytes, totalBytes }: FolderReport,
  { usedBytes, maxBytes }: CacheRoom,
): Finding | undefined {
  if (freeBytes === undefined || totalBytes === undefined) return undefined
  const growthBytes = Math.max(0, maxBytes - usedBytes)
  const isFull = freeBytes < Math.min(FREE_BYTES_MIN, Math.max(growthBytes, RECORD_BYTES_MIN))
  if (freeBytes >= growthBytes && !isFull) return undefined
  const told = `${bytesText(freeBytes)} of ${bytesText(totalBytes)} are free, and the cache may still grow by ${bytesText(growthBytes)}`
  // A tenth for everybody else on this disk.
  const bearableBytes = Math.floor((usedBytes + freeBytes) * 0.9)
  const setting =
    bearableBytes < CACHE_BYTES_MIN
      ? ''
      : `, or set \`cacheMaxBytes\` to ${bytesText(bearableBytes).replace(' ', '')} at most`
  const advice = `Make room on that disk${setting}.`
  return isFull ? failure(`the disk is full: ${told}`, advice) : warning(told, advice)
}

function inodes({ freeInodes, totalInodes }: FolderReport): Finding | undefined {
  if (!totalInodes || freeInodes === undefined || freeInodes >= FREE_INODES_MIN) return undefined
  const told = `${freeInodes} of ${totalInodes} inodes are free`
  const advice = 'Remove small files on that disk, or give the cache one of its own.'
  return freeInodes === 0 ? failure(told, advice) : warning(told, advice)
}

function kind({ folder, fileSystem }: FolderReport): Finding | undefined {
  if (fileSystem === 'tmpfs' || fileSystem === 'ramfs')
    return warning(
      `${folder} is on ${fileSystem}: layers take memory, and are gone after a restart`,
      'Set `cache` to a folder on a disk.',
    )
  if (fileSystem === 'overlay')
    return warning(
      `${folder} is in a container’s own layer (overlay): it is slow, and gone with the container`,
      'Mount a folder of the host, or a volume, for `cache`.',
    )
  return undefined
}
