/** Goal: what somebody typed means one place here and one place elsewhere, and what means neither is refused. */
import { sha256 } from '@shoal/testing/content'
import { expect, test } from 'vitest'
import { PublishError } from './errors.ts'
import { planPublish } from './publish-plan.ts'

const digest = sha256('an image')
const OWN = ['shoal.test', 'localhost:7000']
const plan = (reference: string, from?: string) => planPublish(reference, from, OWN)

test.each([
  // Another registry's, kept under its name.
  ['quay.io/team/app:1', undefined, 'quay.io/team/app', '1', 'quay.io', 'team/app'],
  ['registry.corp:5000/a:1', undefined, 'registry.corp_5000/a', '1', 'registry.corp:5000', 'a'],
  ['docker.io/nginx', undefined, 'docker.io/library/nginx', 'latest', 'docker.io', 'library/nginx'],
  ['index.docker.io/team/app:1', undefined, 'docker.io/team/app', '1', 'docker.io', 'team/app'],
  ['QUAY.IO/team/app:1', undefined, 'quay.io/team/app', '1', 'quay.io', 'team/app'],
  // What is here.
  ['team/app:1', undefined, 'team/app', '1', undefined, undefined],
  ['team/app', undefined, 'team/app', 'latest', undefined, undefined],
  ['shoal.test/team/app:1', undefined, 'team/app', '1', undefined, undefined],
  ['localhost:7000/team/app:1', undefined, 'team/app', '1', undefined, undefined],
  // From one place to another.
  ['ours/app:1', 'quay.io/team/app', 'ours/app', '1', 'quay.io', 'team/app'],
  ['shoal.test/ours/app:1', 'quay.io/team/app', 'ours/app', '1', 'quay.io', 'team/app'],
  [
    'docker.io/team/app:1',
    'proxy.corp/hub/team/app',
    'docker.io/team/app',
    '1',
    'proxy.corp',
    'hub/team/app',
  ],
])('%s from %s', (reference, from, name, tag, host, repository) => {
  const source = host === undefined ? undefined : { host, repository }
  expect(plan(reference, from)).toEqual({ name, tag, digest: undefined, source })
})

test('a digest is what is meant; a tag beside it is what it is called', () => {
  const source = { host: 'quay.io', repository: 'team/app' }
  const name = 'quay.io/team/app'
  expect(plan(`quay.io/team/app@${digest}`)).toEqual({ name, tag: undefined, digest, source })
  expect(plan(`quay.io/team/app:1@${digest}`)).toEqual({ name, tag: '1', digest, source })
  expect(plan(`team/app@${digest}`)).toMatchObject({ name: 'team/app', tag: undefined, digest })
})

test.each([
  ['', undefined],
  ['Team/App:1', undefined],
  ['team/app:', undefined],
  ['team/app:a b', undefined],
  ['team/app@sha256:abc', undefined],
  ['quay.io/', undefined],
  ['[::1]:5000/team/app:1', undefined],
  [`quay.io/${'a'.repeat(250)}`, undefined],
  ['../../etc/passwd', undefined],
  ['ours/app:1', 'team/app'],
  ['ours/app:1', 'quay.io/team/app:1'],
  ['ours/app:1', `quay.io/team/app@${digest}`],
  ['ours/app:1', 'https://quay.io/team/app'],
  ['ours/app:1', ''],
])('%j from %j is refused', (reference, from) => {
  const error = catching(() => plan(reference, from))
  expect(error).toBeInstanceOf(PublishError)
  expect(error).toMatchObject({ code: 'PUBLISH_REFERENCE_INVALID' })
})

function catching(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}
