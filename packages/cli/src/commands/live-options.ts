/** What `shoal fanout live` and `shoal fanout validate` are told: the nodes, the image, the links. */
import { fileURLToPath } from 'node:url'
import { parseDuration, parseRate } from '@shoal/fanout'
import type { LiveFanoutOptions } from '@shoal/fanout/live'
import { parseBytes } from '@shoal/settings'
import { type Command, InvalidArgumentError, Option } from 'commander'

const NODES_MAX = 1_000
const LAYERS_MAX = 127
const IMAGE_BYTES_MAX = 20e9
/** 64 kbps and 100 Gbps. */
const LINK_BYTES_MIN = 8e3
const LINK_BYTES_MAX = 12.5e9
const TIMEOUT_MS_MAX = 24 * 3_600_000
const SEED_MAX = 2 ** 32 - 1
const ISOLATIONS = ['netns', 'process', 'shared'] as const

export interface LiveFlags {
  readonly nodes: number
  readonly imageSize: readonly number[]
  readonly link: number
  readonly isolation: (typeof ISOLATIONS)[number]
  readonly seed: number
  readonly timeout: number
  readonly json?: boolean
}

/** @param defaults texts, as they would be typed */
export function addLiveOptions(
  command: Command,
  defaults: {
    readonly nodes: string
    readonly imageSize: string
    readonly link: string
    readonly isolation: LiveFlags['isolation']
  },
): Command {
  const option = <T>(flags: string, description: string, parse: (text: string) => T, text: string) =>
    new Option(flags, description).argParser(parse).default(parse(text), text)
  return command
    .addOption(option('--nodes <N>', `agents, from 1 to ${NODES_MAX}`, nodeCount, defaults.nodes))
    .addOption(
      option(
        '--image-size <SIZES>',
        'bytes of each layer, such as 40MB or 30MB,10MB',
        layerSizes,
        defaults.imageSize,
      ),
    )
    .addOption(
      option('--link <SPEED>', 'each node’s link, both ways, such as 20Mbps', linkSpeed, defaults.link),
    )
    .addOption(
      new Option(
        '--isolation <FORM>',
        'netns: network namespaces with shaped links, as root; process: a process per agent that limits itself; shared: many agents in a process',
      )
        .choices(ISOLATIONS)
        .default(defaults.isolation),
    )
    .addOption(option('--seed <N>', 'what the bytes of the image are made from', seed, '1'))
    .addOption(
      option('--timeout <TIME>', 'how long the pull may take, such as 90s or 10m', durationMs, '10m'),
    )
    .option('--json', 'print nothing but the line of JSON')
}

export function liveOptionsOf(flags: LiveFlags): LiveFanoutOptions {
  const bin = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url))
  return {
    nodes: flags.nodes,
    layerBytes: flags.imageSize,
    linkBytesPerSecond: flags.link,
    isolation: flags.isolation,
    seed: flags.seed,
    timeoutMs: flags.timeout,
    // With the flags that this process was started with: those of bin/shoal.js.
    shoal: [process.execPath, ...process.execArgv, bin],
  }
}

function nodeCount(text: string): number {
  return wholeNumber(text, 1, NODES_MAX)
}

function seed(text: string): number {
  return wholeNumber(text, 0, SEED_MAX)
}

function wholeNumber(text: string, min: number, max: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new InvalidArgumentError(`A whole number from ${min} to ${max} is allowed.`)
}

function layerSizes(text: string): readonly number[] {
  const sizes = text.split(',').map((size) => parseBytes(size.trim()) ?? 0)
  const sum = sizes.reduce((total, bytes) => total + bytes, 0)
  if (sizes.length <= LAYERS_MAX && sizes.every((bytes) => bytes > 0) && sum <= IMAGE_BYTES_MAX) return sizes
  throw new InvalidArgumentError(
    `Up to ${LAYERS_MAX} sizes of 20GB together are allowed, such as 40MB or 30MB,10MB.`,
  )
}

function linkSpeed(text: string): number {
  const bytesPerSecond = parseRate(text) ?? 0
  if (bytesPerSecond >= LINK_BYTES_MIN && bytesPerSecond <= LINK_BYTES_MAX) return bytesPerSecond
  throw new InvalidArgumentError('A speed from 64kbps to 100Gbps is allowed, such as 20Mbps.')
}

function durationMs(text: string): number {
  const ms = parseDuration(text) ?? 0
  if (ms > 0 && ms <= TIMEOUT_MS_MAX) return ms
  throw new InvalidArgumentError('A time up to 24h is allowed, such as 90s or 10m.')
}
