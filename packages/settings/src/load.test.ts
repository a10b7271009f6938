/**
 * Goal: a person learns from one message all that is wrong with a service's settings, and where.
 * Method: one schema with every kind of setting, loaded from flags, variables and files, alone and against each other.
 */
import Type from 'typebox'
import { describe, expect, test } from 'vitest'
import { readConfigFile } from './config-file.ts'
import { ConfigFileError, SettingsInvalidError } from './errors.ts'
import { loadSettings, type SettingSources } from './load.ts'
import { settingsOf } from './setting.ts'

const Schema = Type.Object({
  peerListen: Type.String({ default: '127.0.0.1:6001', format: 'host-port', description: 'Peers.' }),
  seeder: Type.String({ default: 'http://127.0.0.1:7000', format: 'http-url', description: 'Seeder.' }),
  cache: Type.String({ default: './cache', minLength: 1, description: 'Folder.' }),
  cacheMaxBytes: Type.Integer({ default: 64 * 1024 ** 3, minimum: 1024 ** 2, description: 'Room.' }),
  zone: Type.String({ default: '', description: 'Zone.' }),
  tagTtlMs: Type.Integer({ default: 5_000, minimum: 0, maximum: 86_400_000, description: 'Belief.' }),
  warm: Type.Boolean({ default: false, description: 'Warm.' }),
  logLevel: Type.Enum(['debug', 'info'], { default: 'info', description: 'Lines.' }),
})
const known = new Set(settingsOf(Schema).map(({ variable }) => variable))

interface Given {
  readonly flags?: SettingSources['flags']
  readonly variables?: SettingSources['variables']
  readonly yaml?: string
}

function load({ flags = {}, variables = {}, yaml }: Given) {
  const file = yaml === undefined ? {} : { file: readConfigFile({ path: 'shoal.yaml', text: yaml }) }
  return loadSettings(Schema, { flags, variables, ...file }, known)
}

function problemsOf(given: Given): string[] {
  try {
    load(given)
  } catch (error) {
    if (error instanceof SettingsInvalidError) return error.message.split('\n')
    throw error
  }
  return []
}

describe('what a setting is called', () => {
  test('flag and variable follow from the key', () => {
    const names = settingsOf(Schema).map(({ key, flag, variable }) => [key, flag, variable])
    expect(names).toContainEqual(['peerListen', 'peer-listen', 'SHOAL_PEER_LISTEN'])
    expect(names).toContainEqual(['cacheMaxBytes', 'cache-max-bytes', 'SHOAL_CACHE_MAX_BYTES'])
    expect(names).toContainEqual(['zone', 'zone', 'SHOAL_ZONE'])
  })
})

describe('where a value comes from', () => {
  test('nothing given: the defaults', () => {
    expect(load({}).settings).toEqual({
      peerListen: '127.0.0.1:6001',
      seeder: 'http://127.0.0.1:7000',
      cache: './cache',
      cacheMaxBytes: 64 * 1024 ** 3,
      zone: '',
      tagTtlMs: 5_000,
      warm: false,
      logLevel: 'info',
    })
  })

  test('a flag wins over a variable, a variable over the file, the file over the default', () => {
    const yaml = 'zone: file\ncache: file\nlogLevel: debug'
    const variables = { SHOAL_ZONE: 'variable', SHOAL_CACHE: 'variable' }
    const { settings } = load({ flags: { zone: 'flag' }, variables, yaml })
    expect(settings).toMatchObject({ zone: 'flag', cache: 'variable', logLevel: 'debug', warm: false })
  })

  test('an empty variable is not set; an empty flag is', () => {
    const { settings } = load({ variables: { SHOAL_ZONE: '', SHOAL_CACHE: '' }, yaml: 'zone: a\ncache: b' })
    expect(settings).toMatchObject({ zone: 'a', cache: 'b' })
    expect(load({ flags: { zone: '' }, yaml: 'zone: a' }).settings.zone).toBe('')
  })

  test('text becomes what the schema says', () => {
    const flags = { tagTtlMs: '0', warm: 'true', cacheMaxBytes: '2GiB' }
    expect(load({ flags }).settings).toMatchObject({ tagTtlMs: 0, warm: true, cacheMaxBytes: 2 * 1024 ** 3 })
    const yaml = 'tagTtlMs: 7\nwarm: true\ncacheMaxBytes: 1.5GB'
    expect(load({ yaml }).settings).toMatchObject({ tagTtlMs: 7, warm: true, cacheMaxBytes: 1.5e9 })
  })

  test.each(['127.0.0.1:5001', '[::1]:5001', 'localhost:0', '0.0.0.0:65535', 'node-7.example:1'])(
    '%s is an address',
    (peerListen) => {
      expect(load({ flags: { peerListen } }).settings.peerListen).toBe(peerListen)
    },
  )
})

describe('what is refused', () => {
  test.each([
    ['peerListen', ':5001'],
    ['peerListen', '127.0.0.1'],
    ['peerListen', '127.0.0.1:65536'],
    ['peerListen', '::1:5001'],
    ['peerListen', 'http://127.0.0.1:5001'],
    ['seeder', '127.0.0.1:7000'],
    ['seeder', 'ftp://127.0.0.1'],
    ['cache', ''],
    ['cacheMaxBytes', '1023KiB'],
    ['cacheMaxBytes', '5 apples'],
    ['cacheMaxBytes', '-5GB'],
    ['tagTtlMs', '5s'],
    ['tagTtlMs', '1.5'],
    ['tagTtlMs', '86400001'],
    ['warm', 'yes'],
    ['logLevel', 'INFO'],
  ])('%s: %j', (key, value) => {
    expect(problemsOf({ flags: { [key]: value } })).toHaveLength(1)
  })

  test('the message names the key, where it came from, what was given and what is allowed', () => {
    expect(problemsOf({ flags: { tagTtlMs: '5s' } })).toEqual([
      'tagTtlMs (--tag-ttl-ms): "5s" was given; allowed: a whole number from 0 to 86400000',
    ])
    expect(problemsOf({ variables: { SHOAL_LOG_LEVEL: 'loud' } })).toEqual([
      'logLevel (SHOAL_LOG_LEVEL): "loud" was given; allowed: one of debug, info',
    ])
    expect(problemsOf({ yaml: '# ours\n\ncacheMaxBytes: 3' })).toEqual([
      'cacheMaxBytes (shoal.yaml:3): 3 was given; allowed: a number of bytes, such as 500MB or 64GiB, from 1MiB',
    ])
  })

  test('all problems at once, whatever they came from', () => {
    const given = { flags: { warm: 'x' }, variables: { SHOAL_SEEDER: 'x' }, yaml: 'tagTtlMs: x\nzoen: a' }
    const problems = problemsOf(given)
    expect(problems.map((line) => line.slice(0, line.indexOf(':', line.indexOf(')'))))).toEqual([
      'zoen (shoal.yaml:2)',
      'seeder (SHOAL_SEEDER)',
      'tagTtlMs (shoal.yaml:1)',
      'warm (--warm)',
    ])
  })

  test('a value that a stronger one hides is not looked at', () => {
    expect(problemsOf({ flags: { zone: 'a' }, yaml: 'zone: 7' })).toEqual([])
  })
})

describe('the file', () => {
  test.each(['', '# only a comment\n', '---\n', 'null\n', '{}'])('may say nothing: %j', (yaml) => {
    expect(load({ yaml }).settings.zone).toBe('')
  })

  test('a key that is none is an error, with the one that was probably meant', () => {
    const [problem] = problemsOf({ yaml: 'zone: a\npeer-listen: 127.0.0.1:1' })
    expect(problem).toMatch(
      /^peer-listen \(shoal.yaml:2\): there is no such key; did you mean peerListen\?; the keys are /,
    )
    expect(problemsOf({ yaml: 'colour: blue' })[0]).not.toContain('did you mean')
  })

  test.each([
    ['a number in quotes', 'tagTtlMs: "7"'],
    ['a number where text belongs', 'zone: 7'],
    ['nothing after the colon', 'zone:'],
    ['a list', 'zone: [a]'],
    ['a nested map', 'zone: { a: b }'],
    ['an alias', 'cache: &a x\nzone: *a'],
    ['a word where yes or no belongs', 'warm: "true"'],
    ['a key that objects have anyway', '__proto__: a'],
  ])('%s is a problem of that key', (_what, yaml) => {
    expect(problemsOf({ yaml })).toHaveLength(1)
  })

  test.each([
    ['a list at the top', '- zone'],
    ['mere text', 'zone'],
    ['broken YAML', 'zone: "a'],
    ['a key twice', 'zone: a\nzone: b'],
    ['a file of another kind', `zone: ${'a'.repeat(300_000)}`],
  ])('%s cannot be used', (_what, yaml) => {
    expect(() => load({ yaml })).toThrow(ConfigFileError)
  })

  test('says where YAML breaks', () => {
    expect(() => load({ yaml: 'zone: a\nzone: b' })).toThrow(/shoal\.yaml:2 cannot be used/)
  })
})

describe('variables that no setting reads', () => {
  test('are warned of, with the one that was probably meant', () => {
    const { warnings } = load({ variables: { SHOAL_ZOEN: 'a', SHOAL_CONFIG: 'x', PATH: '/bin' } })
    expect(warnings).toEqual(['SHOAL_ZOEN is set and no setting of Shoal; did you mean SHOAL_ZONE?'])
  })

  test('those of another service are not', () => {
    const all = new Set([...known, 'SHOAL_ORIGIN'])
    expect(loadSettings(Schema, { flags: {}, variables: { SHOAL_ORIGIN: 'x' } }, all).warnings).toEqual([])
  })
})
