import { CliError } from '../settings/errors.ts'

/** A part of the demo did not do what it should. */
export class DemoError extends CliError {
  readonly code = 'CLI_DEMO_FAILED'
}
