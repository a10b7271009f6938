/**
 * Goal: docs/doctor.md describes the checks that there are, with the limits that they have, and JSON as it is printed.
 * Method: headings, numbers, examples and names of fields are compared with the code.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { DOCTOR_REPOSITORY, DOCTOR_TAG } from '@shoal/oci'
import { Compile } from 'typebox/compile'
import { describe, expect, test } from 'vitest'
import { CLOCK_FAILURE_MS, CLOCK_WARNING_MS } from '../doctor/checks/clock.ts'
import { CHECK_NAMES, DoctorReport } from '../doctor/report.ts'
import { shoalProgram } from '../program.ts'
import { codeBlocksOf } from '../testing/page-examples.ts'

const page = readFileSync(fileURLToPath(new URL('../../../../docs/doctor.md', import.meta.url)), 'utf8')
const sources = [
  'registry-port',
  'peer-port',
  'seeder',
  'tracker',
  'peers',
  'cache',
  'clock',
  'clients',
  'test-pull',
].map((name) => readFileSync(fileURLToPath(new URL(`../doctor/checks/${name}.ts`, import.meta.url)), 'utf8'))
const section = (name: string) => page.slice(page.indexOf(`### ${name}\n`)).split(/\n##/, 1)[0]!

describe('the checks', () => {
  test('have a section each, in their order', () => {
    expect([...page.matchAll(/^### (.*)$/gm)].map(([, name]) => name)).toEqual([...CHECK_NAMES])
  })

  test('are all in the samples, a line each', () => {
    const samples = codeBlocksOf(page).filter(({ language }) => language === 'text')
    expect(samples).toHaveLength(2)
    for (const { text } of samples) {
      const lines = text.split('\n').filter((line) => /^(ok|warning|failure|skipped) /.test(line))
      expect(lines.map((line) => line.split(/ +/, 2)[1])).toEqual([...CHECK_NAMES])
    }
  })

  test('have the limits that are told', () => {
    expect(section('clock')).toContain(`*warning*: ${CLOCK_WARNING_MS / 1000} s or more`)
    expect(section('clock')).toContain(`*failure*: ${CLOCK_FAILURE_MS / 60_000} min or more`)
    expect(section('test-pull')).toContain(`\`${DOCTOR_REPOSITORY}:${DOCTOR_TAG}\``)
  })

  test('tell of connections in the words of the page', () => {
    const rows = [...section('peers').matchAll(/^\| (.+) \(`(\w+)`\) \|/gm)]
    expect(rows).toHaveLength(5)
    for (const [, words, outcome] of rows) expect(sources.join()).toContain(`${outcome}: '${words}'`)
  })
})

describe('JSON', () => {
  const [block] = codeBlocksOf(page).filter(({ language }) => language === 'json')

  test('of the example is a report', () => {
    expect(Compile(DoctorReport).Check(JSON.parse(block!.text))).toBe(true)
  })

  test('has every field explained, and no other', () => {
    const fields = Object.keys(DoctorReport.properties)
    const checkFields = Object.keys(DoctorReport.properties.checks.items.properties)
    const rows = [...page.matchAll(/^\| `((?:checks\[\]\.)?\w+)` \| /gm)].map(([, name]) => name!)
    const inPage = rows.filter((name) => fields.includes(name) || name.startsWith('checks[].'))
    expect(inPage.toSorted()).toEqual(
      [...fields, ...checkFields.map((name) => `checks[].${name}`)].toSorted(),
    )
  })

  test('has what each check measures explained', () => {
    const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (`.*) \|$/gm)].filter(([, name]) =>
      (CHECK_NAMES as readonly string[]).includes(name!),
    )
    expect(rows.map(([, name]) => name)).toEqual([...CHECK_NAMES])
    expect(rows.map(([, , text]) => text)).not.toContain('')
  })
})

test('the flags are the agent’s, and --json', () => {
  const flagsOf = (name: string) =>
    shoalProgram()
      .commands.find((command) => command.name() === name)!
      .options.map(({ long }) => long!)
  expect(flagsOf('doctor').toSorted()).toEqual([...flagsOf('agent'), '--json'].toSorted())
})
