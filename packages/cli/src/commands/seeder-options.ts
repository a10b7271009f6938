/** What every command that controls a seeder is told: which one, and the token that it wants. */
import type { Command } from 'commander'
import { SEEDER_URL_DEFAULT, SEEDER_VARIABLE } from '../control-client/seeder-url.ts'
import { TOKEN_VARIABLE } from '../control-client/token.ts'

export function addSeederOptions(command: Command): Command {
  return command
    .option('--seeder <URL>', `the seeder (default: ${SEEDER_URL_DEFAULT}) [${SEEDER_VARIABLE}]`)
    .option('--token-file <FILE>', `file with the seeder’s API token; without it [${TOKEN_VARIABLE}]`)
}
