/** The result of `shoal doctor`, as `--json` prints it: one document. Its schema is what docs/doctor.md describes. Pure. */
import Type, { type Static } from 'typebox'
import type { Finding, Outcome } from './check-result.ts'

/** In the order in which they are shown: a check comes after those that it needs. */
export const CHECK_NAMES = [
  'configuration',
  'registry-port',
  'peer-port',
  'seeder',
  'tracker',
  'peers',
  'cache',
  'clock',
  'clients',
  'test-pull',
] as const
export type CheckName = (typeof CHECK_NAMES)[number]

const Count = Type.Integer({ minimum: 0 })
const CheckOutcome = Type.Enum(['ok', 'warning', 'failure', 'skipped'] satisfies Outcome[])

export const DoctorReport = Type.Object(
  {
    /** Changes when a field is taken away or means something else; new ones may come at any time. */
    schemaVersion: Type.Literal(1),
    /** Of the program that looked. */
    version: Type.String(),
    /** The worst of all; checks that were skipped do not count. */
    outcome: Type.Enum(['ok', 'warning', 'failure']),
    counts: Type.Object({ ok: Count, warning: Count, failure: Count, skipped: Count }),
    durationMs: Count,
    checks: Type.Array(
      Type.Object({
        name: Type.Enum([...CHECK_NAMES]),
        outcome: CheckOutcome,
        message: Type.String(),
        /** Only where the outcome is `warning` or `failure`. */
        advice: Type.Optional(Type.String()),
        measured: Type.Record(Type.String(), Type.Unknown()),
      }),
    ),
  },
  { additionalProperties: false },
)
export type DoctorReport = Static<typeof DoctorReport>

export function reportOf(
  findings: ReadonlyMap<CheckName, Finding>,
  about: { readonly version: string; readonly durationMs: number },
): DoctorReport {
  const counts = { ok: 0, warning: 0, failure: 0, skipped: 0 }
  for (const { outcome } of findings.values()) counts[outcome]++
  return {
    schemaVersion: 1,
    version: about.version,
    outcome: counts.failure > 0 ? 'failure' : counts.warning > 0 ? 'warning' : 'ok',
    counts,
    durationMs: Math.round(about.durationMs),
    checks: CHECK_NAMES.flatMap((name) => {
      const finding = findings.get(name)
      return finding === undefined ? [] : [{ name, ...finding }]
    }),
  }
}

/** Warnings end well: what is not as it should be, and works. */
export function exitStatusOf({ outcome }: DoctorReport): 0 | 1 {
  return outcome === 'failure' ? 1 : 0
}
