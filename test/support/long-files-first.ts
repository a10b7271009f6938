/**
 * The order in which test files begin. What waits for daemons begins first, the longest before all: whatever else there is fills
 * the cores beside it, and nothing long is left to run by itself at the end. Within that, vitest's own order: what took longest the
 * last time, or, on a machine that has run nothing yet, the largest file.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take a minute or more, the longest first. */
const LONG_FILES = [
  'test/e2e/image.test.ts',
  'test/e2e/mirrored-docker-hub.test.ts',
  'test/e2e/mirror.test.ts',
  'test/conformance/ceph.test.ts',
  'test/conformance/forwarding-agent.test.ts',
  'test/conformance/seeder.test.ts',
]

/** Files of a project stay together: a process goes on with the next file only if that is of the same project. */
const PROJECTS = ['e2e', 'unit', 'isolated', 'alone']

export class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return sorted.sort((a, b) => projectRank(a) - projectRank(b) || fileRank(a) - fileRank(b))
  }
}

function projectRank({ project }: TestSpecification): number {
  return PROJECTS.indexOf(project.name)
}

function fileRank({ moduleId }: TestSpecification): number {
  const index = LONG_FILES.findIndex((file) => moduleId.endsWith(file))
  return index === -1 ? LONG_FILES.length : index
}
