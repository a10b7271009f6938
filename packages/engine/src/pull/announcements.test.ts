/**
 * Goal: the tracker is told what has changed, together and soon, and everything on a new stream; frames are no longer than may be.
 * Method: by hand, on time that the test sets.
 */
import { SWARMS_PER_FRAME_MAX } from '@shoal/wire'
import { expect, test } from 'vitest'
import { type AnnouncementEvent, Announcements } from './announcements.ts'
import { PULL_LIMITS } from './limits.ts'

const announce = (infoHash: string, state: 'leeching' | 'seeding' = 'leeching') =>
  ({ kind: 'announce', infoHash, state }) as const
const leave = (infoHash: string) => ({ kind: 'leave', infoHash }) as const
const TIMER = { kind: 'timer' } as const

function open(...before: AnnouncementEvent[]): Announcements {
  const announcements = new Announcements()
  announcements.step(0, { kind: 'stream-opened' })
  for (const event of before) announcements.step(0, event)
  return announcements
}

test('changes of a moment are one frame, with what is so at its end', () => {
  const announcements = open()
  expect(announcements.step(100, announce('a'))).toEqual([
    { kind: 'set-timer', atMs: 100 + PULL_LIMITS.gatherMs },
  ])
  for (const event of [announce('b'), announce('a', 'seeding'), announce('c'), leave('c')])
    expect(announcements.step(101, event)).toEqual([])
  expect(announcements.step(105, TIMER)).toEqual([
    {
      kind: 'send-announce',
      swarms: [
        { infoHash: 'a', state: 'seeding' },
        { infoHash: 'b', state: 'leeching' },
      ],
    },
    { kind: 'send-leave', infoHashes: ['c'] },
  ])
})

test('what is known is not said again, and what was never said is not left', () => {
  const announcements = open(announce('a'), TIMER)
  expect(announcements.step(10, announce('a'))).toEqual([])
  expect(announcements.step(10, leave('b'))).toEqual([])
})

test('nothing is said while the stream is closed, and everything when it opens', () => {
  const announcements = open(announce('a'), announce('b'), TIMER)
  announcements.step(10, { kind: 'stream-closed' })
  announcements.step(11, announce('c'))
  announcements.step(11, leave('b'))
  expect(announcements.step(16, TIMER)).toEqual([])
  const swarms = ['a', 'c'].map((infoHash) => ({ infoHash, state: 'leeching' }))
  expect(announcements.step(20, { kind: 'stream-opened' })).toEqual([{ kind: 'send-announce', swarms }])
})

test('frames are as long as they may be', () => {
  const announcements = open()
  for (let n = 0; n < SWARMS_PER_FRAME_MAX + 1; n++) announcements.step(0, announce(String(n)))
  const effects = announcements.step(5, TIMER)
  expect(effects.map((effect) => effect.kind === 'send-announce' && effect.swarms.length)).toEqual([
    SWARMS_PER_FRAME_MAX,
    1,
  ])
})
