/**
 * Goal: what docs/install/clients.md shows is what the commands write, and what it says of flags and defaults is so.
 * Method: its blocks are compared with what planning gives for them.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { AGENT_DEFAULT, REGISTRIES_DEFAULT, RUNTIMES } from '@shoal/client-config'
import { expect, test } from 'vitest'
import { hostsText } from '../../../client-config/src/containerd/hosts-file.ts'
import { MAIN_CONFIG, withConfigPath } from '../../../client-config/src/containerd/main-config.ts'
import { registriesText } from '../../../client-config/src/containers/registries-file.ts'
import { withMirror } from '../../../client-config/src/docker/daemon-file.ts'
import { shoalProgram } from '../program.ts'
import { codeBlocksOf } from '../testing/page-examples.ts'

const page = readFileSync(
  fileURLToPath(new URL('../../../../docs/install/clients.md', import.meta.url)),
  'utf8',
)
const blocks = (language: string) =>
  codeBlocksOf(page)
    .filter((block) => block.language === language)
    .map(({ text }) => text)
const hub = { host: 'docker.io' }

test('the files are those that are written', () => {
  const [hosts, config, registries] = blocks('toml')
  expect(hosts).toBe(hostsText(AGENT_DEFAULT, hub))
  expect(withConfigPath(MAIN_CONFIG, '/etc/containerd/certs.d', undefined)).toEqual({
    kind: 'text',
    text: config,
  })
  expect(registriesText(AGENT_DEFAULT, [hub])).toContain(registries)
  const [before, after] = blocks('json')
  expect(withMirror(`http://${AGENT_DEFAULT}`, before)).toEqual({ kind: 'text', text: after })
})

test('the flags are those that there are, with their defaults', () => {
  const rows = [...page.matchAll(/^\| `--([a-z-]+)` \| (?:`([^`]+)`)? ?\| /gm)].map(([, flag, value]) => [
    flag,
    value,
  ])
  const command = shoalProgram().commands.find((one) => one.name() === 'install-client')!
  expect(rows).toEqual(command.options.map(({ long, defaultValue }) => [long?.slice(2), defaultValue]))
  expect(rows).toContainEqual(['agent', AGENT_DEFAULT])
  expect(rows).toContainEqual(['registries', REGISTRIES_DEFAULT])
  for (const runtime of RUNTIMES) expect(page).toContain(`\`${runtime}\``)
})
