/** Goal: the settings are the agent's own, all that is wrong with them is told, and the rest can be checked all the same. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentSettings } from '@shoal/agent'
import { settingsOf } from '@shoal/settings'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { examineSettings, type SettingsInit } from './agent-settings.ts'

const knownVariables = new Set(settingsOf(AgentSettings).map(({ variable }) => variable))
let folder: string
let hostFile: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-doctor-'))
  hostFile = join(folder, 'agent.yaml')
})
afterAll(() => rm(folder, { recursive: true }))

async function examine(
  given: { file?: string; hostFile?: string } & Partial<Pick<SettingsInit, 'flags' | 'variables'>>,
) {
  if (given.file !== undefined) await writeFile(join(folder, 'named.yaml'), given.file)
  if (given.hostFile !== undefined) await writeFile(hostFile, given.hostFile)
  else await rm(hostFile, { force: true })
  return examineSettings({
    flags: given.flags ?? {},
    config: given.file === undefined ? undefined : join(folder, 'named.yaml'),
    variables: given.variables ?? {},
    hostFile,
    knownVariables,
  })
}

describe('settings', () => {
  test('are the defaults where nothing is given', async () => {
    const { settings, finding, unusable } = await examine({})
    expect(settings.listen).toBe('127.0.0.1:5001')
    expect(finding).toMatchObject({ outcome: 'ok', message: expect.stringContaining('no file') })
    expect(unusable.size).toBe(0)
  })

  test('come from the host’s file where no other is named, and it is said', async () => {
    const { settings, finding } = await examine({ hostFile: 'zone: a\n' })
    expect(settings.zone).toBe('a')
    expect(finding.message).toBe(
      `1 setting in ${hostFile} (found there; no other is named); defaults for the rest`,
    )
  })

  test('name a file with the zone, which must be there', async () => {
    const zoneFile = join(folder, 'zone')
    await rm(zoneFile, { force: true })
    const { finding, unusable } = await examine({ file: `zoneFile: ${zoneFile}\n` })
    expect(finding).toMatchObject({
      outcome: 'failure',
      message: expect.stringContaining(`the zone cannot be read from ${zoneFile}`),
    })
    expect([...unusable]).toEqual(['zoneFile'])
    await writeFile(zoneFile, 'rack-7\n')
    expect((await examine({ file: `zoneFile: ${zoneFile}\n` })).finding.outcome).toBe('ok')
  })

  test('come from the file that is named, by flag or by variable, and no other', async () => {
    expect((await examine({ file: 'zone: b\n', hostFile: 'zone: a\nname: n\n' })).settings).toMatchObject({
      zone: 'b',
      name: '',
    })
    const byVariable = await examine({
      hostFile: 'zone: a\n',
      variables: { SHOAL_CONFIG: join(folder, 'named.yaml') },
    })
    expect(byVariable.settings.zone).toBe('b')
  })

  test('win as an agent’s do', async () => {
    const { settings, finding } = await examine({
      file: 'zone: file\nname: file\ncache: /file\n',
      variables: { SHOAL_ZONE: 'variable', SHOAL_NAME: 'variable' },
      flags: { zone: 'flag' },
    })
    expect(settings).toMatchObject({ zone: 'flag', name: 'variable', cache: '/file' })
    expect(finding.message).toContain('SHOAL_ZONE, SHOAL_NAME')
    expect(finding.message).toContain('--zone')
  })

  test('with a variable that nothing reads are warned of', async () => {
    const { finding } = await examine({ variables: { SHOAL_ZOEN: 'a' } })
    expect(finding).toMatchObject({ outcome: 'warning', message: expect.stringContaining('SHOAL_ZONE?') })
  })

  test('that are wrong are told all at once, and the good ones stand', async () => {
    const { settings, unusable, finding } = await examine({
      file: 'cacheMaxBytes: tiny\nzon: a\nname: good\n',
      variables: { SHOAL_SEEDER: 'seeder:7000' },
      flags: { listen: ':5001', zone: 'z' },
    })
    expect(finding.outcome).toBe('failure')
    for (const key of ['cacheMaxBytes', 'zon ', 'seeder', 'listen']) expect(finding.message).toContain(key)
    expect([...unusable].toSorted()).toEqual(['cacheMaxBytes', 'listen', 'seeder', 'zon'])
    expect(settings).toMatchObject({ zone: 'z', name: 'good', listen: '127.0.0.1:5001' })
  })

  test.each([
    ['is no YAML', 'zone: "a\n'],
    ['is no list of settings', '- a\n'],
  ])('of a file that %s: it is told, and flags stand', async (_what, file) => {
    const { settings, finding } = await examine({ file, flags: { zone: 'z' } })
    expect(finding).toMatchObject({ outcome: 'failure', message: expect.stringContaining('cannot be used') })
    expect(settings.zone).toBe('z')
  })

  test('of a file that is not there', async () => {
    const { finding } = await examine({ variables: { SHOAL_CONFIG: join(folder, 'none.yaml') } })
    expect(finding).toMatchObject({ outcome: 'failure', message: expect.stringContaining('cannot be read') })
  })
})
