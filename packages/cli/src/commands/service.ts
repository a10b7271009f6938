/**
 * Runs a service as a command: settings, logs, one ready line, and an orderly end. Exit status 0 after SIGTERM or SIGINT,
 * 1 when it could not start or stop, 2 when its settings are wrong.
 */

import { UsageError } from '@shoal/core'
import type { Service } from '@shoal/service'
import { loadSettings, settingsOf } from '@shoal/settings'
import { configEntriesOf } from '@shoal/settings/config-entries'
import { Command, Option } from 'commander'
import { type Logger, pino } from 'pino'
import type { Static, TObject } from 'typebox'
import { logOutput } from './log-output.ts'
import { UncaughtErrors } from './uncaught-errors.ts'

/** What a service shows of itself to its command. */
type StartedAndStopped = Pick<Service, keyof Service>

export interface ServiceCommandInit<T extends TObject> {
  readonly name: string
  readonly description: string
  readonly schema: T
  readonly create: (parts: { settings: Static<T>; log: Logger }) => Promise<StartedAndStopped>
  /** Every variable that some service of Shoal reads. */
  readonly knownVariables: ReadonlySet<string>
}

const STOP_TIMEOUT_MS = 10_000
const PARENT_LOOK_MS = 500
const CAUSES_SHOWN_MAX = 4
const HELP_FOOTER = `
Every setting can be given as a flag, as the variable in brackets, or in the YAML file under the flag's name in camelCase
(--peer-listen is peerListen). A flag wins over a variable, a variable over the file, the file over the default; an empty
variable counts as not set. Port 0 lets the system choose: the "ready" line on standard output has the real addresses.`

export function serviceCommand<T extends TObject>(init: ServiceCommandInit<T>): Command {
  const command = new Command(init.name)
    .description(init.description)
    .showHelpAfterError(`See shoal ${init.name} --help.`)
  addSettingOptions(command, init.schema)
  command.addHelpText('after', HELP_FOOTER)
  return command.action(async (options: Record<string, string | undefined>) => {
    await runService(init, options)
  })
}

/** A flag for every setting, and one for the file. */
export function addSettingOptions(command: Command, schema: TObject): void {
  command.option(
    '--config <FILE>',
    'YAML file with settings by their camelCase names. Flags win over variables, these over the file. [SHOAL_CONFIG]',
  )
  for (const { flag, placeholder, description, variable, defaultText, choices } of settingsOf(schema)) {
    const words = choices === undefined ? '' : ` One of ${choices.join(', ')}.`
    command.addOption(
      new Option(
        `--${flag} <${placeholder}>`,
        `${description}${words} (default: ${defaultText}) [${variable}]`,
      ),
    )
  }
}

async function runService<T extends TObject>(
  init: ServiceCommandInit<T>,
  { config, ...flags }: Record<string, string | undefined>,
): Promise<void> {
  const path = config ?? process.env.SHOAL_CONFIG
  let loaded: ReturnType<typeof loadSettings<T>>
  try {
    loaded = loadSettings(
      init.schema,
      {
        flags,
        variables: process.env,
        ...(path !== undefined && { file: await configEntriesOf(path) }),
      },
      init.knownVariables,
    )
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`shoal ${init.name}: ${error.message}\nSee shoal ${init.name} --help.\n`)
    process.exitCode = 2
    return
  }
  const { logLevel } = loaded.settings as { logLevel?: string }
  const log = pino({ name: `shoal-${init.name}`, level: logLevel ?? 'info' }, logOutput())
  for (const warning of loaded.warnings) log.warn({ event: 'setting-unknown' }, warning)
  await serve(init, loaded.settings, log)
}

async function serve<T extends TObject>(
  init: ServiceCommandInit<T>,
  settings: Static<T>,
  log: Logger,
): Promise<void> {
  const uncaught = new UncaughtErrors({
    name: init.name,
    log,
    isFatal: process.env.SHOAL_UNCAUGHT_ERRORS === 'fatal',
  })
  uncaught.listen()
  const service = await init.create({ settings, log })
  const asked = untilAskedToStop(log)
  try {
    await service.start()
  } catch (error) {
    log.fatal({ event: 'start-failed', err: error }, `the ${init.name} could not start: ${messageOf(error)}`)
    process.stderr.write(`shoal ${init.name}: ${messageOf(error)}\n`)
    process.exit(1)
  }
  const listen = new URL(service.url).host
  uncaught.survive(() => service.onUncaughtError())
  // Written whatever the log level: those who started the service wait for it.
  log.child({}, { level: 'info' }).info({ event: 'ready', listen, peerListen: service.peerAddress }, 'ready')
  const signal = await asked
  log.info({ event: 'stopping', signal }, 'stopping')
  const overdue = setTimeout(() => {
    log.error({ event: 'stop-overdue' }, `the ${init.name} did not stop within ${STOP_TIMEOUT_MS} ms`)
    process.exit(1)
  }, STOP_TIMEOUT_MS)
  try {
    await service.stop()
  } catch (error) {
    log.error({ event: 'stop-failed', err: error }, `the ${init.name} could not stop: ${messageOf(error)}`)
    process.exit(1)
  }
  clearTimeout(overdue)
  log.info({ event: 'stopped' }, 'stopped')
  process.exit(0)
}

/** The first signal asks, the second insists. */
function untilAskedToStop(log: Logger): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let wasAsked = false
    const onSignal = (signal: NodeJS.Signals) => {
      if (wasAsked) {
        log.warn({ event: 'stop-forced', signal }, 'stopped at once')
        process.exit(1)
      }
      wasAsked = true
      resolve(signal)
    }
    process.on('SIGTERM', onSignal)
    process.on('SIGINT', onSignal)
    // Only where a program of Shoal's started this one: its end closes the channel.
    if (process.connected) process.once('disconnect', () => onSignal('SIGTERM'))
    else if (process.env.npm_command !== undefined) onParentGone(() => onSignal('SIGTERM'))
  })
}

/** npm's shell dies of a signal without passing it on: a service that was started by npx must not outlive it. */
function onParentGone(then: () => void): void {
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    then()
  }, PARENT_LOOK_MS)
  watch.unref()
}

/** What happened and what caused it: the outer error often knows only where. */
function messageOf(error: unknown): string {
  const messages: string[] = []
  for (let at = error; at !== undefined && messages.length < CAUSES_SHOWN_MAX; at = causeOf(at)) {
    const message = (at instanceof Error ? at.message : String(at)).replaceAll('\n', ' ')
    // Errors of a kind that only gathers others have no message of their own.
    if (message !== '') messages.push(message)
  }
  const [first = 'an error without a message', ...causes] = messages
  return causes.length === 0 ? first : `${first} (${causes.join(': ')})`
}

function causeOf(error: unknown): unknown {
  if (error instanceof AggregateError) return error.errors[0]
  return error instanceof Error ? error.cause : undefined
}
