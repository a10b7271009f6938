/**
 * Reads `WWW-Authenticate`. Pure.
 * RFC 9110, 11.3 and 11.6.1: several challenges may stand in one field, with the same comma between challenges as between
 * the parameters of one; a parameter is told from a scheme by its equals sign.
 */

export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string
  /** Names in lower case; the first of a name counts. */
  readonly parameters: ReadonlyMap<string, string>
  /** What some schemes have instead of parameters. */
  readonly token68?: string
}

/** Longer than any field of a registry, and shorter than what a parser should be made to chew. */
const FIELD_CHARACTERS_MAX = 16_384
const CHALLENGES_MAX = 32

const SEPARATOR = /[ \t,]*/y
const SCHEME = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?:[ ]+|(?=[ \t]*(?:,|$)))/y
const TOKEN68 = /([A-Za-z0-9\-._~+/]+=*)(?=[ \t]*(?:,|$))/y
const PARAMETER =
  /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)|"((?:[^"\\]|\\[\s\S])*)")(?=[ \t]*(?:,|$))/y

/**
 * @param fields the header's values, one per occurrence
 * @returns the challenges in front of the first thing that is not one; none of a field that is too long
 */
export function parseChallenges(fields: readonly string[]): Challenge[] {
  return fields
    .filter((field) => field.length <= FIELD_CHARACTERS_MAX)
    .flatMap(parseField)
    .slice(0, CHALLENGES_MAX)
}

function parseField(field: string): Challenge[] {
  const challenges: Challenge[] = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(field)
    if (match === null) return undefined
    at = pattern.lastIndex
    return match
  }
  take(SEPARATOR)
  while (at < field.length) {
    const scheme = take(SCHEME)?.[1]?.toLowerCase()
    if (scheme === undefined) break
    const token68 = take(TOKEN68)?.[1]
    const parameters = token68 === undefined ? takeParameters(take) : new Map<string, string>()
    challenges.push({ scheme, parameters, ...(token68 === undefined ? {} : { token68 }) })
    // Nothing but a separator may follow; after anything else there is no telling what belongs to what.
    if (take(SEPARATOR)?.[0].includes(',') !== true) break
  }
  return challenges
}

function takeParameters(take: (pattern: RegExp) => RegExpExecArray | undefined): Map<string, string> {
  const parameters = new Map<string, string>()
  for (let match = take(PARAMETER); match !== undefined; match = take(NEXT_PARAMETER)) {
    const [, name, token, quoted] = match as unknown as [string, string, string?, string?]
    const value = token ?? quoted!.replace(/\\([\s\S])/g, '$1')
    if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value)
  }
  return parameters
}

const NEXT_PARAMETER = new RegExp(`[ \\t]*,[ \\t,]*${PARAMETER.source}`, 'y')
