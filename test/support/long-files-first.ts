/**
 * The order in which test files begin. vitest takes the ones that took longest the last time first; on a machine that has run none
 * yet it goes by the files' sizes, and a short file with a long test then begins last and runs alone while the other workers
 * have nothing left to do.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take a minute or more, the longest first. */
const LONG_FILES = [
  'test/e2e/image.test.ts',
  'test/e2e/mirrored-docker-hub.test.ts',
  'test/e2e/mirror.test.ts',
  'test/conformance/ceph.test.ts',
]

export class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return sorted.sort((a, b) => rank(a) - rank(b))
  }
}

/** Among the files of its own group; where it stands among those of others does not matter. */
function rank({ moduleId }: TestSpecification): number {
  const index = LONG_FILES.findIndex((file) => moduleId.endsWith(file))
  return index === -1 ? LONG_FILES.length : index
}
