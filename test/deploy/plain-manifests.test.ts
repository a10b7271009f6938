/**
 * Goal: the manifests in deploy/kubernetes are the chart's, right by themselves, and whole: kustomization.yaml names each of them and
 * the image in them. `npm run manifests` writes them anew.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { describeWith } from '../support/describe-with.ts'
import { type ChartRenderer, NAMESPACE, startChartRenderer } from '../support/helm/chart-renderer.ts'
import { understoodCommand } from '../support/helm/command-lines.ts'
import { loadedSettings } from '../support/helm/loaded-settings.ts'
import { PLAIN_VALUES, plainManifests } from '../support/helm/plain-manifests.ts'
import { type Content, containersOf, find, objectsIn, workloadsIn } from '../support/kubernetes/objects.ts'
import { referenceProblems } from '../support/kubernetes/references.ts'
import { securityProblems } from '../support/kubernetes/security.ts'
import { schemaProblems } from '../support/kubernetes/strict-schema.ts'

const FOLDER = fileURLToPath(new URL('../../deploy/kubernetes', import.meta.url))

describeWith(['chart-templates'], 'the manifests', () => {
  let renderer: ChartRenderer
  beforeAll(async () => {
    renderer = await startChartRenderer()
  })
  afterAll(() => renderer?.[Symbol.asyncDispose]())

  test('are rendered from the chart', async () => {
    const manifests = plainManifests(await renderer.render(PLAIN_VALUES))
    for (const [path, text] of manifests) {
      expect(text.slice(text.indexOf('\n'))).not.toMatch(/helm/i)
      await expect(text).toMatchFileSnapshot(join(FOLDER, path))
    }
  })

  test('are all that there is', async () => {
    const manifests = plainManifests(await renderer.render(PLAIN_VALUES))
    const here = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    const written = here.filter((path) => path.endsWith('.yaml') && !path.endsWith('kustomization.yaml'))
    expect(written.toSorted()).toEqual([...manifests.keys()].toSorted())
  })
})

describe.each(['.', 'uninstall'])('kustomization.yaml in %s', (folder) => {
  const read = (name: string) => readFileSync(join(FOLDER, folder, name), 'utf8')
  const { resources, images, ...rest } = parse(read('kustomization.yaml'))
  const objectsHere = () => (resources as string[]).flatMap((name) => objectsIn(read(name)))

  test('names every file beside it, and the image in them', () => {
    const others = readdirSync(join(FOLDER, folder)).filter((name) =>
      /^(?!kustomization).*\.yaml$/.test(name),
    )
    expect(resources.toSorted()).toEqual(others.toSorted())
    expect(rest).toEqual({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization' })
    const inside = workloadsIn(objectsHere()).flatMap((one) =>
      containersOf(one).map(({ container }) => container.image),
    )
    const [{ name, newName, newTag }] = images
    expect(new Set(inside)).toEqual(new Set([`${newName}:${newTag}`]))
    expect(name).toBe(newName)
  })

  test('has objects that are right', () => {
    const objects = objectsHere()
    expect(objects.flatMap(schemaProblems)).toEqual([])
    expect(referenceProblems(objects, NAMESPACE)).toEqual([])
    expect(securityProblems(objects)).toEqual([])
    for (const workload of workloadsIn(objects))
      for (const { container } of containersOf(workload)) understoodCommand(container.args)
  })
})

test('the services in them have settings that Shoal understands, and what takes back reaches what was installed', () => {
  const read = (name: string) => objectsIn(readFileSync(join(FOLDER, name), 'utf8'))
  const installed = [...read('seeder.yaml'), ...read('agent.yaml')]
  expect(loadedSettings(installed, 'seeder').hosts).toContain('shoal-seeder.shoal.svc:7000')
  expect(loadedSettings(installed, 'agent').seeder).toBe('http://shoal-seeder.shoal.svc:7000')
  const mounts = (of: Content[], daemonSet: string, container: string) =>
    find(of, 'DaemonSet', daemonSet)!.spec.template.spec.initContainers.find(
      ({ name }: Content) => name === container,
    ).volumeMounts
  expect(mounts(read('uninstall/uninstall.yaml'), 'shoal-cleanup', 'uninstall-client')).toEqual(
    mounts(installed, 'shoal-agent', 'install-client'),
  )
})
