/**
 * Which nodes fetch what is pushed while it is being pushed: `team/*:zone=eu-*; prod/api:all`. Pure.
 * A rule is a pattern of repositories, with `*` for any text, and a selector of nodes; the first that matches counts.
 */
import { SeederError } from '../errors.ts'
import { type Node, parseWarmSelector } from './warm-selector.ts'

export class WarmRulesInvalidError extends SeederError {
  readonly code = 'SEEDER_WARM_RULES_INVALID'
  constructor(rule: string) {
    super(`${JSON.stringify(rule.slice(0, 200))} is not REPOSITORY:SELECTOR, such as team/*:zone=eu-*`)
  }
}

export type WarmRules = (repository: string) => ((node: Node) => boolean) | undefined

/**
 * @param text rules separated by semicolons; empty for none
 * @throws WarmRulesInvalidError · WarmSelectorInvalidError
 */
export function parseWarmRules(text: string): WarmRules {
  const rules = text
    .split(';')
    .map((rule) => rule.trim())
    .filter((rule) => rule !== '')
    .map((rule) => {
      const match = /^([a-z0-9._*/-]{1,255}):(.+)$/.exec(rule)
      if (match === null) throw new WarmRulesInvalidError(rule)
      const source = match[1]!.replace(/[.-]/g, '\\$&').replaceAll('*', '.*')
      return { repositories: new RegExp(`^${source}$`), selects: parseWarmSelector(match[2]!) }
    })
  return (repository) => rules.find(({ repositories }) => repositories.test(repository))?.selects
}
