/** Goal: `/readyz` tells what somebody has to mend, and no more. Method: every state that an agent can be in. */
import { expect, test } from 'vitest'
import { unreadiness } from './unreadiness.ts'

const problem = 'the seeder at http://10.0.0.10:7000 cannot be reached: connection refused'
const away = { wasFound: false, problem }
const there = { wasFound: true, problem: undefined }

test.each([
  ['the seeder is there', there, false, undefined, undefined],
  ['it went away later', { wasFound: true, problem }, false, undefined, undefined],
  ['it was never there, and images are in the cache', away, true, undefined, undefined],
  ['it was never there, and nothing is cached', away, false, undefined, 'seeder-unreachable'],
  ['nobody has looked yet', { wasFound: false, problem: undefined }, false, undefined, 'seeder-unreachable'],
  ['the disk is full', there, true, '/cache has no room', 'disk-full'],
  ['the disk is full as well', away, false, '/cache has no room', 'seeder-unreachable'],
])('%s', (_what, seeder, hasBlobs, disk, status) => {
  const found = unreadiness({ seeder, hasBlobs, disk })
  expect(found?.status).toBe(status)
  if (found !== undefined) expect(found.reason).not.toBe('')
})
