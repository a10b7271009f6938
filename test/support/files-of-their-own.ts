/**
 * Which test files need a process of their own. All others share processes, since importing the same modules again for each
 * file takes longer than most files' tests. A file says it by what it does, so that no list has to be kept.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A module that is replaced stays replaced in all that is imported later; memory is that of the whole process, with what
 * earlier files left in it; a process has one working folder.
 */
const ALONE_IN_ITS_PROCESS = /\bvi\.(mock|doMock|resetModules)\(|\bprocess\.(memoryUsage|chdir)\b/

/** @returns those of the files that the patterns name, as paths below `root` */
export function filesOfTheirOwn(root: string, patterns: readonly string[]): string[] {
  return globSync([...patterns], { cwd: root })
    .filter((file) => ALONE_IN_ITS_PROCESS.test(readFileSync(join(root, file), 'utf8')))
    .sort()
}
