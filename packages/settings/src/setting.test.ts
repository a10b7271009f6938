/**
 * Goal: of every kind of setting, exactly the allowed values come through, and each refusal says in full what is allowed.
 * Method: one schema a kind; values as text (flags, variables) and as a file's own.
 */
import { assert, double, integer, property, string } from 'fast-check'
import Type, { type TSchema } from 'typebox'
import { describe, expect, test } from 'vitest'
import { type Setting, type SettingValue, settingsOf } from './setting.ts'

function settingWith(key: string, schema: TSchema): Setting {
  return settingsOf(Type.Object({ [key]: schema }))[0]!
}

const address = settingWith('listen', Type.String({ default: '127.0.0.1:1', format: 'host-port' }))
const url = settingWith('seeder', Type.String({ default: 'http://a', format: 'http-url' }))
const folder = settingWith('cache', Type.String({ default: './a', minLength: 1 }))
const text = settingWith('zone', Type.String({ default: '' }))
const bytes = settingWith('cacheMaxBytes', Type.Integer({ default: 2 ** 30, minimum: 2 ** 20 }))
const number = settingWith('tagTtlMs', Type.Integer({ default: 5, minimum: 0, maximum: 100 }))
const least = settingWith('peersCount', Type.Integer({ default: 5, minimum: 1 }))
const any = settingWith('offset', Type.Integer({ default: 0 }))
const choice = settingWith('logLevel', Type.Enum(['debug', 'info'], { default: 'info' }))
const yes = settingWith('warm', Type.Boolean({ default: false }))

describe('what is allowed, in words', () => {
  test.each<[Setting, string, string, string]>([
    [address, 'host:port, such as 127.0.0.1:5001, [::1]:5001 or 0.0.0.0:5001', 'HOST:PORT', '127.0.0.1:1'],
    [url, 'an http or https URL, such as http://seeder:7000', 'URL', 'http://a'],
    [folder, 'text that is not empty', 'TEXT', './a'],
    [text, 'any text', 'TEXT', 'empty'],
    [bytes, 'a number of bytes, such as 500MB or 64GiB, from 1MiB', 'BYTES', '1GiB'],
    [number, 'a whole number from 0 to 100', 'NUMBER', '5'],
    [least, 'a whole number from 1', 'NUMBER', '5'],
    [any, 'a whole number', 'NUMBER', '0'],
    [choice, 'one of debug, info', 'WORD', 'info'],
    [yes, 'true or false', 'true|false', 'false'],
  ])('%#', (setting, allowed, placeholder, defaultText) => {
    expect(setting).toMatchObject({ allowed, placeholder, defaultText })
  })

  test('only a choice has words to choose from', () => {
    expect(choice.choices).toEqual(['debug', 'info'])
    expect(text.choices).toBeUndefined()
  })
})

describe('what comes through', () => {
  test.each<[Setting, string, SettingValue]>([
    [address, 'localhost:0', 'localhost:0'],
    [address, '[::]:7000', '[::]:7000'],
    [url, 'https://seeder.example/', 'https://seeder.example/'],
    [text, ' spaces stay ', ' spaces stay '],
    [bytes, '1MiB', 2 ** 20],
    [bytes, '1048576', 2 ** 20],
    [number, '100', 100],
    [any, '-7', -7],
    [choice, 'debug', 'debug'],
    [yes, 'false', false],
  ])('text, %#: %s %j', (setting, given, value) => {
    expect(setting.accept(given, 'text')).toBe(value)
  })

  test.each<[Setting, unknown, SettingValue]>([
    [bytes, 2 ** 20, 2 ** 20],
    [bytes, '1MiB', 2 ** 20],
    [number, 0, 0],
    [yes, true, true],
    [text, '', ''],
  ])('from a file, %#: %s %j', (setting, given, value) => {
    expect(setting.accept(given, 'file')).toBe(value)
  })
})

describe('what does not', () => {
  test.each<[Setting, string]>([
    [address, ''],
    [address, 'localhost'],
    [address, 'localhost:http'],
    [address, 'a b:1'],
    [url, ''],
    [url, 'seeder:7000'],
    [url, 'file:///etc/passwd'],
    [folder, ''],
    [bytes, '1048575'],
    [bytes, 'lots'],
    [number, ''],
    [number, '1e2'],
    [number, '0x10'],
    [number, ' 1'],
    [number, '-1'],
    [number, '101'],
    [any, '9999999999999999'],
    [choice, ''],
    [choice, 'toString'],
    [yes, '1'],
    [yes, 'TRUE'],
  ])('text, %#: %s %j', (setting, given) => {
    expect(setting.accept(given, 'text')).toBeUndefined()
  })

  test.each<[Setting, unknown]>([
    [number, '5'],
    [number, 1.5],
    [number, Number.NaN],
    [yes, 'true'],
    [yes, 1],
    [text, 7],
    [text, null],
    [text, undefined],
    [text, ['a']],
    [choice, {}],
  ])('from a file, %#: %s %j', (setting, given) => {
    expect(setting.accept(given, 'file')).toBeUndefined()
  })

  test('no number outside the bounds, and no fraction, however it is written', () => {
    assert(property(integer(), (n) => (number.accept(String(n), 'text') === n) === (n >= 0 && n <= 100)))
    assert(
      property(double(), (n) => {
        const accepted = number.accept(n, 'file')
        return accepted === undefined || (Number.isInteger(n) && n >= 0 && n <= 100)
      }),
    )
  })

  test('of arbitrary text, nothing but the words of a choice', () => {
    assert(
      property(string(), (given) => {
        return (choice.accept(given, 'text') !== undefined) === ['debug', 'info'].includes(given)
      }),
    )
  })
})
