import { ShoalError } from '@shoal/core'

/** What goes wrong before a command has begun. */
export abstract class CliError extends ShoalError {}

/** One setting that cannot be used: which, where it came from, what was given, what is allowed. */
export interface SettingProblem {
  readonly key: string
  /** `--listen`, `SHOAL_LISTEN` or `listen in FILE` */
  readonly source: string
  readonly given: string
  readonly allowed: string
}

/** All of them at once, so that nobody mends them one by one. */
export class SettingsInvalidError extends CliError {
  readonly code = 'CLI_SETTINGS_INVALID'
  constructor(readonly problems: readonly SettingProblem[]) {
    super(
      problems
        .map(
          ({ key, source, given, allowed }) => `${key} (${source}): ${given} was given; allowed: ${allowed}`,
        )
        .join('\n'),
    )
  }
}

export class ConfigFileError extends CliError {
  readonly code = 'CLI_CONFIG_FILE'
  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`the configuration file ${path} cannot be used: ${reason}`, options)
  }
}
