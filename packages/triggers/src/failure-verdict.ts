/** What becomes of work upon a push that has failed. Pure; whoever does the work knows its errors and says it. */
export type FailureVerdict =
  /** After the usual wait, and not before that time where somebody has named one. */
  | { readonly kind: 'try-again'; readonly notBeforeMs?: number }
  /** The same would be said of it every time. */
  | { readonly kind: 'give-up' }

export type JudgeFailure = (error: unknown) => FailureVerdict

/** When to go on at the earliest. */
export function notBeforeMs(verdict: FailureVerdict): number {
  return verdict.kind === 'try-again' ? (verdict.notBeforeMs ?? 0) : 0
}
