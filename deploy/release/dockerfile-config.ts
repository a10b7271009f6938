/**
 * What the last stage of deploy/Dockerfile says of the image's configuration, so that an image that is made without a builder
 * has the same. Pure. Dockerfile reference; OCI image specification, "Image Configuration"; Docker's `Healthcheck` beside it.
 */

export interface ImageConfig {
  Env?: string[]
  Labels?: Record<string, string>
  User?: string
  WorkingDir?: string
  ExposedPorts?: Record<string, object>
  StopSignal?: string
  Healthcheck?: object
  Entrypoint?: string[]
  Cmd?: string[]
}

const NS_PER_SECOND = 1e9

/**
 * @param base the configuration of the image that the stage starts from
 * @param args values of the stage's `ARG`s, in place of their defaults
 * @throws Error for an instruction that is not known here
 */
export function configOf(
  dockerfile: string,
  base: ImageConfig,
  args: Readonly<Record<string, string>>,
): ImageConfig {
  const config: ImageConfig = { ...base }
  const values: Record<string, string> = {}
  const filled = (text: string) => text.replace(/\$\{(\w+)\}/g, (whole, name) => values[name] ?? whole)
  for (const { name, text } of lastStage(dockerfile)) {
    if (name === 'ARG') {
      const [variable = '', initial = ''] = text.split('=', 2)
      values[variable] = args[variable] ?? initial
    } else if (name === 'LABEL') config.Labels = { ...config.Labels, ...pairsOf(text, filled) }
    else if (name === 'ENV') config.Env = withVariables(config.Env ?? [], pairsOf(text, filled))
    else if (name === 'USER') config.User = text
    else if (name === 'WORKDIR') config.WorkingDir = text
    else if (name === 'EXPOSE') config.ExposedPorts = { ...config.ExposedPorts, ...portsOf(text) }
    else if (name === 'STOPSIGNAL') config.StopSignal = text
    else if (name === 'HEALTHCHECK') config.Healthcheck = healthcheckOf(text)
    else if (name === 'ENTRYPOINT') {
      config.Entrypoint = JSON.parse(text)
      // As a builder does: the base's command was for its own entry point.
      delete config.Cmd
    } else if (name === 'CMD') config.Cmd = JSON.parse(text)
    else if (name !== 'FROM' && name !== 'COPY') throw new Error(`the Dockerfile’s ${name} is not known here`)
  }
  return config
}

/** @returns what `ARG BASE` names */
export function baseOf(dockerfile: string): string {
  const base = /^ARG BASE=(\S+)$/m.exec(dockerfile)?.[1]
  if (base === undefined) throw new Error('the Dockerfile names no base')
  return base
}

function lastStage(dockerfile: string): { name: string; text: string }[] {
  const lines = dockerfile
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, ' ')
    .split('\n')
    .map((line) => /^([A-Z]+)\s+(.*)$/.exec(line.trim()))
    .flatMap((found) => (found === null ? [] : [{ name: found[1]!, text: found[2]! }]))
  return lines.slice(lines.findLastIndex(({ name }) => name === 'FROM'))
}

function pairsOf(text: string, filled: (value: string) => string): Record<string, string> {
  const pairs = [...text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S*))/g)]
  return Object.fromEntries(pairs.map(([, key, quoted, bare]) => [key, filled(quoted ?? bare ?? '')]))
}

/** `$NAME` is what the base has. */
function withVariables(env: readonly string[], added: Readonly<Record<string, string>>): string[] {
  const variables = new Map(env.map((line) => [line.slice(0, line.indexOf('=')), line]))
  const current = (name: string) => variables.get(name)?.slice(name.length + 1) ?? ''
  for (const [name, value] of Object.entries(added))
    variables.set(name, `${name}=${value.replace(/\$(\w+)/g, (_, other) => current(other))}`)
  return [...variables.values()]
}

function portsOf(text: string): Record<string, object> {
  return Object.fromEntries(text.split(/\s+/).map((port) => [`${port}/tcp`, {}]))
}

function healthcheckOf(text: string): object {
  const options = Object.fromEntries(
    [...text.matchAll(/--([\w-]+)=(\d+)s?/g)].map(([, key, n]) => [key, Number(n)]),
  )
  const command: string[] = JSON.parse(text.slice(text.indexOf('CMD ') + 'CMD '.length))
  const durationNs = (key: string) => (options[key] ?? 0) * NS_PER_SECOND
  return {
    Test: ['CMD', ...command],
    Interval: durationNs('interval'),
    Timeout: durationNs('timeout'),
    StartPeriod: durationNs('start-period'),
    Retries: options.retries,
  }
}
