/** What a check found. Pure. */

export type Outcome = 'ok' | 'warning' | 'failure' | 'skipped'

/** Numbers and words for programs; a list where there are several of a kind. */
export type Measured = Readonly<Record<string, unknown>>

export interface Finding {
  readonly outcome: Outcome
  /** What was found, on one line. */
  readonly message: string
  /** What to do; absent where all is well. */
  readonly advice?: string
  readonly measured: Measured
}

export const ok = (message: string, measured: Measured = {}): Finding => ({
  outcome: 'ok',
  message,
  measured,
})
export const warning = (message: string, advice: string, measured: Measured = {}): Finding => ({
  outcome: 'warning',
  message,
  advice,
  measured,
})
export const failure = (message: string, advice: string, measured: Measured = {}): Finding => ({
  outcome: 'failure',
  message,
  advice,
  measured,
})
/** @param reason goes on after `because` */
export const skipped = (reason: string): Finding => ({
  outcome: 'skipped',
  message: `because ${reason}`,
  measured: {},
})

const SEVERITY: Readonly<Record<Outcome, number>> = { ok: 0, skipped: 1, warning: 2, failure: 3 }

/** Several things that one check found, as one: the worst outcome, all that is not well, or else all that is. */
export function together(findings: readonly Finding[], measured: Measured): Finding {
  const worst = findings.reduce((found, { outcome }) => Math.max(found, SEVERITY[outcome]), 0)
  const shown = findings.filter(({ outcome }) => worst === 0 || SEVERITY[outcome] >= SEVERITY.warning)
  const advice = shown.flatMap((finding) => finding.advice ?? [])
  return {
    outcome: findings.find(({ outcome }) => SEVERITY[outcome] === worst)?.outcome ?? 'ok',
    message: shown.map(({ message }) => message).join('; '),
    ...(advice.length > 0 && { advice: [...new Set(advice)].join(' ') }),
    measured,
  }
}
