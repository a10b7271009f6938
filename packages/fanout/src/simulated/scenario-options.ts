/**
 * A scenario from words: the flags of `shoal fanout sim`, and the same names with the same values in a scenario file. Pure.
 */
import { nearest, parseBytes } from '@shoal/settings'
import { type Arrivals, boundSeconds, DEFAULT_SCENARIO, type Scenario } from '@shoal/simulator'
import { FanoutOptionError } from './errors.ts'
import { parseDuration, parseRate, parseShare } from './quantities.ts'

const NODES_MAX = 100_000
const LAYERS_MAX = 200
const LAYER_BYTES_MAX = 1e12

interface ScenarioOption {
  readonly name: string
  /** What stands behind the flag; absent where nothing does. */
  readonly argument?: string
  readonly doc: string
  readonly allowed: string
  /** @returns undefined when the text is nothing that is allowed */
  readonly apply: (scenario: Scenario, text: string) => Scenario | undefined
}

function set<T>(value: T | undefined, change: (value: T) => Partial<Scenario>) {
  return (scenario: Scenario) => (value === undefined ? undefined : { ...scenario, ...change(value) })
}

export const SCENARIO_OPTIONS: readonly ScenarioOption[] = [
  {
    name: 'nodes',
    argument: '<N>',
    doc: 'nodes that pull',
    allowed: `a whole number from 1 to ${NODES_MAX}`,
    apply: (scenario, text) => set(whole(text, 1, NODES_MAX), (nodes) => ({ nodes }))(scenario),
  },
  {
    name: 'image-size',
    argument: '<SIZES>',
    doc: 'bytes of the image; several with commas are its layers',
    allowed: `sizes such as 1GiB or 200KB,40MB,1GB; at most ${LAYERS_MAX}`,
    apply: (scenario, text) => set(sizes(text), (layers) => ({ layers }))(scenario),
  },
  {
    name: 'link',
    argument: '<RATE>',
    doc: 'of every node and of the seeder, each way',
    allowed: 'a rate such as 10Gbps or 300MB/s',
    apply: (scenario, text) =>
      set(parseRate(text), (rate) => ({ linkBytesPerSecond: rate, seederLinkBytesPerSecond: rate }))(
        scenario,
      ),
  },
  {
    name: 'seeder-link',
    argument: '<RATE>',
    doc: 'of the seeder, where it is another',
    allowed: 'a rate such as 25Gbps',
    apply: (scenario, text) => set(parseRate(text), (rate) => ({ seederLinkBytesPerSecond: rate }))(scenario),
  },
  {
    name: 'origin-link',
    argument: '<RATE>',
    doc: 'of the object store, for everybody together',
    allowed: 'a rate such as 10Gbps',
    apply: (scenario, text) => set(parseRate(text), (rate) => ({ originBytesPerSecond: rate }))(scenario),
  },
  {
    name: 'latency',
    argument: '<TIME>',
    doc: 'one way, within a zone',
    allowed: 'a duration such as 0.1ms',
    apply: (scenario, text) => set(parseDuration(text), (latencyMs) => ({ latencyMs }))(scenario),
  },
  {
    name: 'zones',
    argument: '<N>',
    doc: 'zones; the seeder is in the first',
    allowed: 'a whole number from 1 to 16',
    apply: (scenario, text) =>
      set(whole(text, 1, 16), (count) => ({ zones: { ...scenario.zones, count } }))(scenario),
  },
  {
    name: 'cross-zone-link',
    argument: '<RATE>',
    doc: 'of each zone, into it and out of it',
    allowed: 'a rate such as 40Gbps',
    apply: (scenario, text) =>
      set(parseRate(text), (rate) => ({ zones: { ...scenario.zones, crossBytesPerSecond: rate } }))(scenario),
  },
  {
    name: 'cross-zone-latency',
    argument: '<TIME>',
    doc: 'one way, from zone to zone',
    allowed: 'a duration such as 0.5ms',
    apply: (scenario, text) =>
      set(parseDuration(text), (ms) => ({ zones: { ...scenario.zones, crossLatencyMs: ms } }))(scenario),
  },
  {
    name: 'arrivals',
    argument: '<WHEN>',
    doc: 'when the nodes ask: at random within so long, or in waves, each after the one before',
    allowed: '0s for all at once, a duration such as 30s, or waves:20%',
    apply: (scenario, text) => set(arrivals(text), (when) => ({ arrivals: when }))(scenario),
  },
  {
    name: 'layers-at-a-time',
    argument: '<N>',
    doc: 'layers that a client reads at a time, in order',
    allowed: 'a whole number from 1 to 64',
    apply: (scenario, text) => set(whole(text, 1, 64), (layersAtATime) => ({ layersAtATime }))(scenario),
  },
  {
    name: 'slow',
    argument: '<SHARE@FACTOR>',
    doc: 'nodes with a slower link: how many, and what they have of the others’ link',
    allowed: 'a share and a factor such as 5%@0.1',
    apply: (scenario, text) => set(slow(text), (value) => ({ slow: value }))(scenario),
  },
  {
    name: 'die',
    argument: '<SHARE>',
    doc: 'nodes that die, each at a random moment of the first bound',
    allowed: 'a share such as 10%',
    apply: (scenario, text) => set(parseShare(text), (dying) => ({ dying }))(scenario),
  },
  {
    name: 'black-holes',
    argument: '<SHARE>',
    doc: 'nodes that accept everything and send nothing',
    allowed: 'a share such as 5%',
    apply: (scenario, text) => set(parseShare(text), (blackHoles) => ({ blackHoles }))(scenario),
  },
  {
    name: 'seeder-dies-at',
    argument: '<SHARE>',
    doc: 'the seeder dies when so much of all is received; the origin stays',
    allowed: 'a share such as 30%',
    apply: (scenario, text) => set(parseShare(text), (seederDiesAt) => ({ seederDiesAt }))(scenario),
  },
  {
    name: 'cold-origin',
    doc: 'the seeder has nothing yet and reads the origin while others already ask',
    allowed: 'nothing behind it; in a file: true or false',
    apply: (scenario, text) =>
      set(text === 'true' ? true : text === 'false' ? false : undefined, (coldOrigin) => ({ coldOrigin }))(
        scenario,
      ),
  },
  {
    name: 'disk',
    argument: '<RATE>',
    doc: 'what each node’s disk takes; no concern unless given',
    allowed: 'a rate such as 500MB/s',
    apply: (scenario, text) => set(parseRate(text), (rate) => ({ diskBytesPerSecond: rate }))(scenario),
  },
  {
    name: 'seed',
    argument: '<N>',
    doc: 'of all chance: the same seed gives the same run',
    allowed: 'a whole number from 0 to 2147483647',
    apply: (scenario, text) => set(whole(text, 0, 2 ** 31 - 1), (seed) => ({ seed }))(scenario),
  },
]

/**
 * @param given by name, as written; later ones win
 * @throws FanoutOptionError
 */
export function scenarioOf(given: readonly { name: string; text: string; from: string }[]): Scenario {
  let scenario = DEFAULT_SCENARIO
  for (const { name, text, from } of given) {
    const option = SCENARIO_OPTIONS.find((known) => known.name === name)
    if (option === undefined) {
      const meant = nearest(
        name,
        SCENARIO_OPTIONS.map((known) => known.name),
      )
      throw new FanoutOptionError(
        from,
        `there is no ${name}${meant === undefined ? '' : `; is ${meant} meant?`}`,
      )
    }
    const changed = option.apply(scenario, text)
    if (changed === undefined)
      throw new FanoutOptionError(from, `${text} was given; allowed: ${option.allowed}`)
    scenario = changed
  }
  const { dying, blackHoles, nodes } = scenario
  if (Math.round(nodes * dying) + Math.round(nodes * blackHoles) >= nodes && dying + blackHoles > 0)
    throw new FanoutOptionError('--die and --black-holes', 'somebody must be left to pull')
  // Whoever simulates days has mistaken a unit.
  if (boundSeconds(scenario) > 7 * 86_400)
    throw new FanoutOptionError('--image-size and --link', 'the image takes more than a week on this link')
  return scenario
}

function whole(text: string, min: number, max: number): number | undefined {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  return value >= min && value <= max ? value : undefined
}

function sizes(text: string): number[] | undefined {
  const layers = text.split(',').map((size) => parseBytes(size.trim()))
  const areRight =
    layers.length <= LAYERS_MAX &&
    layers.every((bytes) => bytes !== undefined && bytes > 0 && bytes <= LAYER_BYTES_MAX)
  return areRight ? (layers as number[]) : undefined
}

function arrivals(text: string): Arrivals | undefined {
  const [, wave] = /^waves:(.+)$/.exec(text) ?? []
  if (wave !== undefined) {
    const share = parseShare(wave)
    return share === undefined || share === 0 ? undefined : { kind: 'waves', share }
  }
  const ms = parseDuration(text)
  if (ms === undefined) return undefined
  return ms === 0 ? { kind: 'at-once' } : { kind: 'over', seconds: ms / 1000 }
}

function slow(text: string): { share: number; factor: number } | undefined {
  const [, shareText = '', factorText = ''] = /^([^@]+)@(\d{1,3}(?:\.\d{1,6})?)$/.exec(text) ?? []
  const [share, factor] = [parseShare(shareText), Number(factorText)]
  return share !== undefined && factor > 0 && factor <= 100 ? { share, factor } : undefined
}
