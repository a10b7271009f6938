/**
 * `shoal install-client` and `shoal uninstall-client` as the chart's pods call them: their words, for the test that reads the
 * command lines in rendered pods. Where the program has these commands itself, they are used and this list is not.
 */
import { Command } from 'commander'

export function clientCommands(): Command[] {
  return [
    new Command('install-client')
      .requiredOption('--runtime <RUNTIME>')
      .option('--agent <HOST:PORT>')
      .option('--registries <LIST>')
      .option('--root <DIR>')
      .option('--best-effort'),
    new Command('uninstall-client').option('--runtime <RUNTIME>').option('--root <DIR>'),
  ]
}
