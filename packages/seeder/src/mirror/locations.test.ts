/**
 * Goal: every name is told apart in one place, and the origin is asked about it only where that decides anything.
 * Method: a table of names, with one registry that is mirrored and one host of the seeder's own.
 */
import { DOCTOR_REPOSITORY } from '@shoal/oci'
import { describe, expect, it } from 'vitest'
import { FakeRegistry, upstreamsOf } from '../testing/fake-registry.ts'
import { Locations } from './locations.ts'

const HOST = 'registry.test'
const pushed = new Set(['team/pushed', 'library/pushed'])
let asked: string[] = []

function locationsOf(defaultUpstream?: string): Locations {
  asked = []
  const hasRepository = async (name: string) => {
    asked.push(name)
    return pushed.has(name)
  }
  return new Locations(
    { images: { hasRepository }, upstreams: upstreamsOf(new FakeRegistry(HOST)) },
    { ownHosts: ['shoal.test'], defaultUpstream },
  )
}

describe('a name', () => {
  it.each([
    ['team/app', 'own', 'team/app'],
    ['shoal.test/team/app', 'own', 'team/app'],
    ['elsewhere.test/team/app', 'own', 'elsewhere.test/team/app'],
    [`${HOST}/team/app`, 'mirrored', `${HOST}/team/app`],
    [DOCTOR_REPOSITORY, 'carried', DOCTOR_REPOSITORY],
    [`shoal.test/${DOCTOR_REPOSITORY}`, 'carried', DOCTOR_REPOSITORY],
  ])('%s is %s, kept in %s', (name, kind, repository) => {
    for (const locations of [locationsOf(), locationsOf(HOST)])
      expect(locations.locate(name)).toMatchObject({ kind, repository })
  })

  it.each([
    [undefined, `${HOST}/team/app`, `${HOST}/team/app`, []],
    [undefined, 'team/app', undefined, []],
    [HOST, 'team/app', `${HOST}/team/app`, ['team/app']],
    [HOST, 'team/pushed', undefined, ['team/pushed']],
    [HOST, 'shoal.test/team/app', `${HOST}/team/app`, ['team/app']],
    [HOST, `${HOST}/team/app`, `${HOST}/team/app`, []],
    [HOST, DOCTOR_REPOSITORY, undefined, []],
  ])('with %s for names without a host, %s has %s elsewhere', async (defaultUpstream, name, from, looked) => {
    const locations = locationsOf(defaultUpstream)
    expect((await locations.upstreamOf(locations.locate(name)))?.name).toBe(from)
    expect(asked).toEqual(looked)
  })
})

describe('a push', () => {
  it('goes where a pull of the same name looks first, and never to what is mirrored or carried', () => {
    const locations = locationsOf(HOST)
    expect(['team/app', 'shoal.test/team/app'].map((name) => locations.pushable(name))).toEqual([
      'team/app',
      'team/app',
    ])
    for (const name of [`${HOST}/team/app`, DOCTOR_REPOSITORY])
      expect(() => locations.pushable(name)).toThrow(expect.objectContaining({ code: 'DENIED' }))
  })
})

describe('a registry that nobody mirrors', () => {
  it.each([
    ['elsewhere.test/team/app', 'elsewhere.test'],
    ['library/app', 'docker.io'],
    ['library/pushed', undefined],
    ['team/app', undefined],
    [`${HOST}/team/app`, undefined],
  ])('is what %s means: %s', async (name, host) => {
    expect(await locationsOf().unservedRegistry(name)).toBe(host)
  })
})
