/**
 * Goal: one version for everything. All places that state Shoal's version state the same, they are moved to another by one
 * command, and no release is made of a tag, or with a changelog, that say something else.
 * Method: the checkout as it is; then a copy of what states the version, in a temporary folder.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import {
  disagreements,
  expectReleasable,
  hasRelease,
  setVersion,
  versionsIn,
  withRelease,
} from '../../deploy/versions.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
// Not in one piece: this file states no version.
const [IMAGE, ARCHIVE] = ['registry.example.com/shoal', 'dist/shoal']

test('all places of the checkout say the same', () => {
  expect(disagreements()).toEqual([])
})

test.each([
  ['deploy/Dockerfile', 'ARG VERSION=1.2.3\nARG BASE=node:24.21.0-slim\n', ['1.2.3']],
  ['deploy/helm/shoal/Chart.yaml', 'apiVersion: v2\nversion: 1.2.3\nappVersion: 1.2.3\n', ['1.2.3', '1.2.3']],
  ['docs/install/docker.md', `-t ${IMAGE}:1.2.3-arm64 .`, ['1.2.3']],
  ['docs/install/hosts.md', `scp ${ARCHIVE}-1.2.3-rc.1-linux-x64.tar.gz`, ['1.2.3-rc.1']],
  ['deploy/kubernetes/kustomization.yaml', '    newTag: 1.2.3\n', ['1.2.3']],
  ['docs/clients.md', 'containerd 1.7.24, registry.example.com/app:1.0.0', []],
])('%s states it', (path, text, versions) => {
  expect(versionsIn(path, text).map(({ version }) => version)).toEqual(versions)
})

test('another version is written everywhere, and told of in the changelog', async () => {
  await using folder = await temporaryFolder('versions')
  copyOfPlaces(folder.path)
  writeFileSync(join(folder.path, 'CHANGELOG.md'), '# Changelog\n\n## [Unreleased]\n\n- Faster.\n')
  setVersion('7.8.9', '2027-01-31', folder.path)
  expect(disagreements(folder.path)).toEqual([])
  const changed = (path: string) => readFileSync(join(folder.path, path), 'utf8')
  expect(JSON.parse(changed('package.json')).version).toBe('7.8.9')
  expect(JSON.parse(changed('packages/cli/package.json')).dependencies['@shoal/agent']).toBe('7.8.9')
  expect(changed('deploy/helm/shoal/Chart.yaml')).toContain('appVersion: 7.8.9')
  expect(changed('CHANGELOG.md')).toContain('## [Unreleased]\n\n## [7.8.9] - 2027-01-31\n\n- Faster.\n')
  // Nothing but the version: the files are as they were where it is put back.
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'))
  setVersion(version, '2027-02-01', folder.path)
  for (const path of ['package.json', 'package-lock.json', 'deploy/Dockerfile', 'docs/install/docker.md'])
    expect(changed(path)).toBe(readFileSync(join(REPOSITORY, path), 'utf8'))

  writeFileSync(join(folder.path, 'deploy/Dockerfile'), 'ARG VERSION=0.0.1\n')
  expect(disagreements(folder.path)).toEqual([`deploy/Dockerfile says 0.0.1, package.json ${version}`])
  expect(() => expectReleasable('v0.0.1', folder.path)).toThrow('the tag is v0.0.1')
  expect(() => expectReleasable(`v${version}`, folder.path)).not.toThrow()
  writeFileSync(join(folder.path, 'CHANGELOG.md'), '# Changelog\n\n## [Unreleased]\n')
  expect(() => expectReleasable(`v${version}`, folder.path)).toThrow('no heading')
})

test('a changelog without a place for it is not guessed at', () => {
  expect(() => withRelease('# Changelog\n', '1.0.0', '2027-01-31')).toThrow('no heading')
  expect(hasRelease('## [1.0.0] - 2027-01-31\n', '1.0.0')).toBe(true)
  expect(hasRelease('## [1.0.0] - 2027-01-31\n', '1.0')).toBe(false)
})

function copyOfPlaces(to: string): void {
  const copy = (path: string) => {
    mkdirSync(dirname(join(to, path)), { recursive: true })
    cpSync(join(REPOSITORY, path), join(to, path), { recursive: true })
  }
  for (const name of readdirSync(join(REPOSITORY, 'packages'))) copy(`packages/${name}/package.json`)
  for (const path of ['package.json', 'package-lock.json', 'test/package.json', 'README.md']) copy(path)
  for (const path of ['deploy', 'docs', 'test/e2e/image', 'test/deploy']) copy(path)
}
