/** Goal: `/readyz` tells what somebody has to mend, and no more. Method: every state that an agent can be in. */
import { expect, test } from 'vitest'
import { readinessOf } from './readiness.ts'

const problem = 'the seeder at http://10.0.0.10:7000 cannot be reached: connection refused'
const away = { wasFound: false, problem }
const there = { wasFound: true, problem: undefined }
const full = '/cache has no room'

test.each([
  ['the seeder is there', there, false, undefined, []],
  ['it went away later', { wasFound: true, problem }, false, undefined, []],
  ['it was never there, and images are in the cache', away, true, undefined, []],
  ['it was never there, and nothing is cached', away, false, undefined, [problem]],
  [
    'nobody has looked yet',
    { wasFound: false, problem: undefined },
    false,
    undefined,
    ['the seeder was not reached yet'],
  ],
  ['the disk is full', there, true, full, [full]],
  ['the disk is full as well', away, false, full, [problem, full]],
])('%s', (_what, seeder, hasBlobs, disk, problems) => {
  expect(readinessOf({ seeder, hasBlobs, disk })).toEqual({ problems, warnings: [] })
})
