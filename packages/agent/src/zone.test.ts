/** Goal: the zone that was meant, or an error that says why not; never another one. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ZoneFileError } from './errors.ts'
import { zoneOf } from './zone.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-zone-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function fileWith(content: string | Uint8Array): Promise<string> {
  const path = join(folder, 'zone')
  await writeFile(path, content)
  return path
}

test.each([
  ['eu-west-1a\n', 'eu-west-1a'],
  ['eu-west-1a', 'eu-west-1a'],
  ['  rack 7 \r\nof the second hall\n', 'rack 7'],
  ['Zürich\n', 'Zürich'],
  // A node without the label.
  ['\n', ''],
  ['', ''],
  ['z'.repeat(255), 'z'.repeat(255)],
])('%j is the zone %j', async (content, zone) => {
  expect(await zoneOf({ zone: '', zoneFile: await fileWith(content) })).toBe(zone)
})

test('what is set wins, and the file is not looked at', async () => {
  expect(await zoneOf({ zone: 'rack-7', zoneFile: join(folder, 'absent') })).toBe('rack-7')
  expect(await zoneOf({ zone: '', zoneFile: '' })).toBe('')
})

test.each([
  ['z'.repeat(256), 'longer than 255 characters'],
  [`${'z'.repeat(100_000)}\n`, 'longer than 255 characters'],
  ['eu\u0000west\n', 'no text'],
  [Uint8Array.of(0xff, 0xfe, 0x41), 'no text'],
])('%# is refused', async (content, reason) => {
  const zoneFile = await fileWith(content)
  await expect(zoneOf({ zone: '', zoneFile })).rejects.toThrow(ZoneFileError)
  await expect(zoneOf({ zone: '', zoneFile })).rejects.toThrow(reason)
})

test('a file that is not there, and a folder, are refused by name', async () => {
  const absent = join(folder, 'absent')
  await expect(zoneOf({ zone: '', zoneFile: absent })).rejects.toThrow(`cannot be read from ${absent}`)
  await expect(zoneOf({ zone: '', zoneFile: folder })).rejects.toThrow(ZoneFileError)
})
