/** The report for people: a line for each check, and one that counts. */
import { styleText } from 'node:util'
import { printable } from '../control-client/printable.ts'
import type { Outcome } from './check-result.ts'
import type { DoctorReport } from './report.ts'

const COLOURS = { ok: 'green', warning: 'yellow', failure: 'red', skipped: 'gray' } as const
const OUTCOME_COLUMNS = 7
const NAME_COLUMNS = 13

/** @param stream colours only where it is a terminal that wants them (NO_COLOR, FORCE_COLOR) */
export function reportText(report: DoctorReport, stream: NodeJS.WriteStream): string {
  const coloured = (outcome: Outcome, text: string) => styleText(COLOURS[outcome], text, { stream })
  const lines = report.checks.map(({ name, outcome, message, advice }) => {
    const what = coloured(outcome, outcome.padEnd(OUTCOME_COLUMNS))
    const told = advice === undefined ? sentence(message) : `${sentence(message)} ${sentence(advice)}`
    // Names and answers of other machines are in it.
    return `${what}  ${name.padEnd(NAME_COLUMNS)}  ${printable(told)}`
  })
  return [...lines, '', summaryOf(report)].join('\n')
}

function summaryOf({ counts, durationMs }: DoctorReport): string {
  const { ok, warning, failure, skipped } = counts
  const parts = [
    `${ok} ok`,
    warning === 0 ? '' : `${warning} ${warning === 1 ? 'warning' : 'warnings'}`,
    failure === 0 ? '' : `${failure} ${failure === 1 ? 'failure' : 'failures'}`,
    skipped === 0 ? '' : `${skipped} skipped`,
  ]
  return `${parts.filter((part) => part !== '').join(', ')}, in ${(durationMs / 1000).toFixed(1)} s.`
}

function sentence(text: string): string {
  return /[.?!]$/.test(text) ? text : `${text}.`
}
