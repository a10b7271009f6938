/**
 * Goal: what docs/mirroring.md has people paste is what the code reads, and what it says of names and numbers is so.
 * Method: entries, variables, flags and defaults are compared with the code.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { AgentSettings } from '@shoal/agent'
import { parseUpstreamList, splitMirroredName } from '@shoal/oci'
import { Credentials } from '@shoal/registry-client'
import { SeederSettings } from '@shoal/seeder'
import { describe, expect, test } from 'vitest'
import { codeBlocksOf } from '../testing/page-examples.ts'

const page = readFileSync(fileURLToPath(new URL('../../../../docs/mirroring.md', import.meta.url)), 'utf8')
const shell = codeBlocksOf(page)
  .filter(({ language }) => language === 'sh')
  .map(({ text }) => text.replaceAll('\\\n', ' '))
  .join('\n')
const section = (from: string, to: string) =>
  page.slice(page.indexOf(`## ${from}\n`), page.indexOf(`## ${to}\n`))

describe('the registries', () => {
  const rows = section('Registries', 'Credentials').match(/^\| (?!registry|---).*$/gm)!
  const entries = rows.map((row) => /`([^`]+)`/.exec(row.split('|')[2]!)![1]!)

  test('are all there', () => {
    expect(entries.length).toBeGreaterThanOrEqual(11)
  })

  test.each(entries)('%s is an entry of upstreams', (entry) => {
    expect(parseUpstreamList(entry)).toHaveLength(1)
  })

  test('so are those of the text and of the commands', () => {
    const withUrls = [...page.matchAll(/`([a-z0-9.:]+=https?:[^`]+)`/g)].map(([, entry]) => entry!)
    const flags = [...shell.matchAll(/--upstreams (\S+)/g)].map(([, list]) => list!)
    expect(withUrls.length).toBeGreaterThanOrEqual(2)
    expect(flags.length).toBeGreaterThanOrEqual(4)
    for (const list of [...withUrls, ...flags]) expect(parseUpstreamList(list).length).toBeGreaterThan(0)
  })
})

describe('the credentials', () => {
  test.each(['docker.io', 'registry.corp:5000'])('of %s are found in the variables shown', async (host) => {
    const names = [...shell.matchAll(/\b(SHOAL_UPSTREAM_\w+)=/g)].map(([, name]) => name!)
    const environment = Object.fromEntries(names.map((name) => [name, 'x']))
    expect(await new Credentials({ environment }).forHost(host)).toEqual({ username: 'x', password: 'x' })
  })
})

describe('the settings', () => {
  test('named are settings, as flags and in the text', () => {
    const known = Object.keys({ ...SeederSettings.properties, ...AgentSettings.properties })
    const flags = [...page.matchAll(/shoal (?:seeder|agent)([^\n`]*)/g)].flatMap(([, words]) =>
      [...words!.matchAll(/--([a-z-]+)/g)].map(([, flag]) =>
        flag!.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()),
      ),
    )
    expect(flags.length).toBeGreaterThan(5)
    expect(known).toEqual(expect.arrayContaining(flags))
    for (const name of ['upstreams', 'dockerConfig', 'pullSecrets', 'upstreamTagTtlMs', 'tagTtlMs'])
      expect(known).toContain(name)
  })

  test('have the defaults that it says', () => {
    const secondsOf = (schema: object) => (schema as { default: number }).default / 1_000
    const { upstreamTagTtlMs } = SeederSettings.properties
    expect(page).toContain(`\`upstreamTagTtlMs\` (${secondsOf(upstreamTagTtlMs)} s)`)
    expect(page).toContain(`\`tagTtlMs\` (${secondsOf(AgentSettings.properties.tagTtlMs)} s)`)
  })
})

test('a mirror of podman’s is the name of a mirrored repository', () => {
  const locations = [...page.matchAll(/location = "127\.0\.0\.1:5001\/([^"]+)"/g)].map(([, path]) => path!)
  expect(locations.map((path) => splitMirroredName(`${path}/team/app`)?.host)).toEqual([
    'docker.io',
    'registry.corp:5000',
  ])
})
