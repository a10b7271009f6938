/**
 * Goal: in a container nothing is written where only the container would see it.
 * Method: a host whose folders are on this process's own file system, or on another.
 */
import { statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { notMounted } from './host-root.ts'

const { dev: own } = statSync('/')
const RECORD = '/var/lib/shoal'
const FILE = '/etc/docker/daemon.json'

test.each<[string, string, string[], string | undefined]>([
  ['on the host itself', '/', [FILE], undefined],
  ['below a folder of the host', '/srv/host', [FILE, RECORD], undefined],
  ['in a container that has mounted both', '/host', [], undefined],
  ['in one that has not mounted the file’s folder', '/host', [FILE], 'its folder is not the host’s'],
  ['in one that has not mounted the record’s', '/host', [RECORD], '/var/lib/shoal is not the host’s'],
])('%s', (_what, root, ownPaths, reason) => {
  const deviceOf = (path: string) => (ownPaths.includes(path) ? own : own + 1)
  const told = notMounted({ root, deviceOf }, FILE, RECORD)
  if (reason === undefined) expect(told).toBeUndefined()
  else expect(told).toContain(reason)
})
