import { UsageError } from '@shoal/core'

/** One setting that cannot be used. */
export interface SettingProblem {
  readonly key: string
  /** `--listen`, `SHOAL_LISTEN` or `FILE:LINE` */
  readonly source: string
  /** What was given, and what is allowed. */
  readonly reason: string
}

/** All of them at once, so that nobody mends them one by one. */
export class SettingsInvalidError extends UsageError {
  readonly code = 'CLI_SETTINGS_INVALID'
  readonly problems: readonly SettingProblem[]

  constructor(problems: readonly SettingProblem[]) {
    super(problems.map(({ key, source, reason }) => `${key} (${source}): ${reason}`).join('\n'))
    this.problems = problems
  }
}

export class ConfigFileError extends UsageError {
  readonly code = 'CLI_CONFIG_FILE'
  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`the configuration file ${path} cannot be used: ${reason}`, options)
  }
}
