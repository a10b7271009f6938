/**
 * Goal: the image is what its users need: built by deploy/Dockerfile, small, with nothing in it that does not run, without
 * rights; its services carry images, are found healthy, and end in order. Then the same by everything that starts it: the
 * script for hosts, Compose, and the pages of docs/install.
 * Method: a real Docker Engine, one for all of it, since the build takes most of the time.
 */
import { afterAll, beforeAll, describe } from 'vitest'
import { describeWith } from '../support/describe-with.ts'
import { type ImageEngine, startImageEngine } from '../support/image-engine.ts'
import { imageContentSuite } from './image/content.ts'
import { dockerPageSuite } from './image/docker-page.ts'
import { hostScriptSuite } from './image/host-script.ts'
import { hostsPageSuite } from './image/hosts-page.ts'
import { imageServicesSuite } from './image/services.ts'
import { systemCallsSuite } from './image/system-calls.ts'

describeWith(['dockerd', 'ldd'], 'the image', () => {
  let started: ImageEngine | undefined
  beforeAll(async () => {
    started = await startImageEngine()
  }, 400_000)
  afterAll(() => started?.stop())
  const use = (): ImageEngine => {
    if (started === undefined) throw new Error('the image was not built')
    return started
  }

  describe('holds', () => imageContentSuite(use))
  describe('runs', () => imageServicesSuite(use))
  describeWith(['systemd-analyze'], 'in the bounds of the systemd units', () => systemCallsSuite(use))
  describe('deploy/hosts/shoal-host.sh', () => hostScriptSuite(use))
  describeWith(['ceph-rgw', 'docker-registry', 'docker-compose'], 'docs/install/docker.md', () =>
    dockerPageSuite(use),
  )
  describeWith(['systemd-analyze'], 'docs/install/hosts.md', () => hostsPageSuite(use))
})
