/**
 * Goal: one minimum version of Node, stated in package.json and right; and one version that the project is developed with.
 * Method: every other place is compared with these two, and the minimum with what the packages in production ask for and with what the services use. That
 * the command refuses an older Node is seen with the Node of the test that says it is one.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const project = JSON.parse(read('package.json'))
const minimum = /^>=(\d+\.\d+\.\d+)$/.exec(project.engines.node)![1]!
const [major, minor] = minimum.split('.')
const developed: string = project.devDependencies.node

describe('the minimum', () => {
  test('is told to npm by the package that has the command, which reads it from there', () => {
    expect(JSON.parse(read('packages/cli/package.json')).engines).toEqual(project.engines)
    for (const name of readdirSync(new URL('../../packages', import.meta.url)).filter((one) => one !== 'cli'))
      expect(JSON.parse(read(`packages/${name}/package.json`)).engines, name).toBeUndefined()
  })

  test.each(['README.md', 'CONTRIBUTING.md', 'docs/install/hosts.md'])('is what %s says', (page) => {
    const said = [...read(page).matchAll(/\bNode (\d+(?:\.\d+)*) or newer/g)].map(([, version]) => version)
    expect(said.length).toBeGreaterThan(0)
    expect(new Set(said)).toEqual(new Set([`${major}.${minor}`]))
  })

  test('is enough for every package that runs in production', () => {
    const { packages } = JSON.parse(read('package-lock.json'))
    const asked = Object.entries<{ engines?: { node?: string }; dev?: true }>(packages)
      .filter(([path, { dev }]) => path.includes('node_modules/') && dev !== true)
      .flatMap(([path, { engines }]) => (engines?.node === undefined ? [] : [{ path, range: engines.node }]))
    expect(asked.length).toBeGreaterThan(50)
    expect(asked.filter(({ range }) => !allows(range, minimum))).toEqual([])
  })

  test('is the first that has what services begin and end with', () => {
    expect(read('packages/service/src/service.ts')).toContain('new AsyncDisposableStack()')
    expect(minimum).toBe('24.0.0')
  })

  test('is refused from below by the command, in a sentence', () => {
    const command = new URL('../../packages/cli/bin/shoal.js', import.meta.url).href
    const older = `Object.defineProperty(process.versions, 'node', { value: '23.11.1' }); await import('${command}')`
    const run = () => execFileSync(process.execPath, ['--input-type=module', '-e', older], { stdio: 'pipe' })
    expect(run).toThrow(`shoal needs Node ${minimum} or newer`)
  })
})

test('the Node that the project is developed with is one, and no older', () => {
  expect(allows(`>=${minimum}`, developed)).toBe(true)
  expect(read('.node-version').trim()).toBe(developed)
  expect(read('deploy/Dockerfile')).toContain(`ARG BASE=node:${developed}-`)
  expect(read('.github/workflows/ci.yml')).toContain(`node:${developed}-bookworm`)
  expect(read('.devcontainer/devcontainer.json')).toContain(`node:${developed}-bookworm`)
  expect(read('README.md')).toContain(`Node ${developed.split('.')[0]} that it is developed`)
})

/** Whether a range as packages write it in `engines` has the version: `>=1.2.3`, `^1.2`, `*`, or several with `||`. */
function allows(range: string, version: string): boolean {
  const there = numbers(version)
  return range.split('||').some((part) => {
    const [, sign, text] = /^(\*|>=|\^|>)? ?v?([\d.]*)(?:\.[x*])?$/.exec(part.trim()) ?? []
    if (text === undefined) throw new Error(`"${range}" cannot be read; teach this test to`)
    if (sign === '*') return true
    const least = numbers(text)
    const place = least.findIndex((number, index) => number !== there[index])
    const isReached = place === -1 || there[place]! > least[place]!
    return isReached && (sign === '>=' || sign === '>' || least[0] === there[0])
  })
}

function numbers(version: string): number[] {
  return version.split('.').filter(Boolean).map(Number)
}
