/**
 * Goal: what docs/install/kubernetes.md and the chart's NOTES.txt have people type is right.
 * Method: blocks that need no cluster are run, in a folder of their own. Of the others it is checked that the objects, containers,
 * namespaces, folders and values in them are those of the rendered chart, and that Shoal understands its own command lines.
 */
import { existsSync, readFileSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { codeBlocksOf, shoalCommandsIn } from '../../packages/cli/src/testing/page-examples.ts'
import { describeWith } from '../support/describe-with.ts'
import {
  CHART_FOLDER,
  type ChartRenderer,
  NAMESPACE,
  RELEASE,
  startChartRenderer,
  type Values,
} from '../support/helm/chart-renderer.ts'
import { understoodCommand } from '../support/helm/command-lines.ts'
import { missingObjects, objectsMeantBy } from '../support/kubernetes/kubectl-words.ts'
import { type KubernetesObject, objectsIn } from '../support/kubernetes/objects.ts'
import { referenceProblems, secretsIn } from '../support/kubernetes/references.ts'
import { schemaProblems } from '../support/kubernetes/strict-schema.ts'
import { pageCommands } from '../support/page-commands.ts'
import { runProcess } from '../support/process.ts'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts'
import { GOOD_VALUES } from './chart-values.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const page = readFileSync(join(root, 'docs/install/kubernetes.md'), 'utf8')
const blocks = pageCommands(page)

describeWith(['chart-templates'], 'docs/install/kubernetes.md', () => {
  let renderer: ChartRenderer
  let folder: TemporaryFolder
  beforeAll(async () => {
    renderer = await startChartRenderer()
    folder = await temporaryFolder('kubernetes-page')
    for (const { script, notRun } of blocks)
      if (notRun === undefined)
        await runProcess('bash', ['-euo', 'pipefail', '-c', script], { cwd: folder.path })
  })
  afterAll(async () => {
    await renderer?.[Symbol.asyncDispose]()
    await folder?.remove()
  })
  const written = async (name: string): Promise<Values> =>
    parse(await readFile(join(folder.path, name), 'utf8'))
  const objectsWith = async (values: Values): Promise<KubernetesObject[]> => {
    const { files } = await renderer.render(values)
    return [...files].flatMap(([path, text]) => (path.endsWith('.yaml') ? objectsIn(text) : []))
  }

  test('and the Job of docs/ci.md fits the cluster that the page makes', async () => {
    const ciPage = readFileSync(join(root, 'docs/ci.md'), 'utf8')
    const [job] = codeBlocksOf(ciPage)
      .filter(({ language, text }) => language === 'yaml' && text.startsWith('apiVersion'))
      .map(({ text }) => parse(text))
    // A server makes the name.
    expect(schemaProblems({ ...job, metadata: { ...job.metadata, name: 'shoal-publish-1' } })).toEqual([])
    expect(job.metadata.namespace).toBe(NAMESPACE)
    const { args, image } = job.spec.template.spec.containers[0]
    expect(understoodCommand(args)).toBe('publish')
    const objects = await objectsWith(await written('values.yaml'))
    const service = objects.find(
      ({ kind, metadata }) => kind === 'Service' && metadata.name === 'shoal-seeder',
    )
    expect(args).toContain(`http://shoal-seeder:${service!.spec.ports[0].port}`)
    expect(secretsIn(objects)).toContain(job.spec.template.spec.volumes[0].secret.secretName)
    const seeder = objects.find(({ kind }) => kind === 'StatefulSet')!
    expect(image).toBe(seeder.spec.template.spec.containers[0].image)
  })

  test('makes a token that nobody else can read', async () => {
    const path = join(folder.path, 'api-token')
    expect((await stat(path)).mode & 0o077).toBe(0)
    expect(await readFile(path, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/)
  })

  test('has values that the chart takes, alone and with each other', async () => {
    const values = await written('values.yaml')
    const { seeder: first } = values as { seeder: object }
    for (const name of ['values-s3.yaml', 'values-ingress.yaml']) {
      const { seeder } = (await written(name)) as { seeder: object }
      const objects = await objectsWith({ ...values, seeder: { ...first, ...seeder } })
      expect(referenceProblems(objects, NAMESPACE)).toEqual([])
    }
    const made = [...page.matchAll(/create secret generic (\S+)/g)].map(([, name]) => name)
    expect(secretsIn(await objectsWith(values))).toEqual(made)
  })

  test('names objects and containers that are there', async () => {
    const objects = await objectsWith(await written('values.yaml'))
    const shell = blocks.map(({ script }) => script).join('\n')
    expect(objectsMeantBy(shell).length).toBeGreaterThan(10)
    expect(missingObjects(shell, objects)).toEqual([])
    for (const [, namespace] of shell.matchAll(/(?:-n|--namespace|create namespace|label namespace) (\S+)/g))
      expect(namespace).toBe(NAMESPACE)
    const secret = /create secret generic \S+ --from-file=(\S+)=/.exec(shell)?.[1]
    const keys = JSON.stringify(objects.map(({ spec }) => spec?.template?.spec?.volumes))
    expect(keys).toContain(`{"key":"${secret}","path":"${secret}"}`)
  })

  test('calls Helm with the release, the chart and the values that are meant', async () => {
    const lines = blocks.flatMap(({ script }) =>
      script.split('\n').filter((line) => line.startsWith('helm ')),
    )
    expect(lines).toHaveLength(3)
    for (const line of lines) {
      expect(line.split(' ')).toContain(RELEASE)
      const chart = /\S+\/helm\/\S+/.exec(line)?.[0]
      if (chart !== undefined) expect(join(root, chart)).toBe(CHART_FOLDER)
      const values = /--values (\S+)/.exec(line)?.[1]
      const set = /--set image\.tag=(\S+)/.exec(line)?.[1]
      if (values === undefined) continue
      const given = (await written(values)) as { image: object }
      const objects = await objectsWith({ ...given, image: { ...given.image, ...(set && { tag: set }) } })
      if (set) expect(JSON.stringify(objects)).toContain(`registry.example.com/shoal:${set}`)
    }
  })

  test('has command lines that Shoal understands, and asks a seeder that there is', async () => {
    const commands = blocks.flatMap(({ script }) => shoalCommandsIn(script, () => ''))
    expect(commands.map(understoodCommand)).toEqual(['publish'])
    const objects = await objectsWith(await written('values.yaml'))
    const host = /--seeder http:\/\/([^:]+):(\d+)/.exec(page)!
    const service = objects.find(
      ({ kind, metadata }) => kind === 'Service' && metadata.name === 'shoal-seeder',
    )!
    expect(host[1]).toBe(`${service.metadata.name}.${NAMESPACE}.svc`)
    expect(Number(host[2])).toBe(service.spec.ports[0].port)
  })

  test('speaks of values, folders and numbers that are so', async () => {
    for (const { script } of blocks)
      for (const [, path] of script.matchAll(/-k (\S+)/g))
        expect(existsSync(join(root, path!, 'kustomization.yaml')), path).toBe(true)
    const values = parse(await readFile(join(CHART_FOLDER, 'values.yaml'), 'utf8'))
    const names = [...page.matchAll(/`((?:seeder|agent|clientConfig|networkPolicy)\.[\w.]+)`/g)].map(
      ([, name]) => name!,
    )
    expect(names.length).toBeGreaterThan(12)
    for (const name of names) {
      let at: Values | unknown = values
      for (const key of name.split('.')) {
        if (name.includes('.settings.') && key === name.split('.').at(-1)) break
        expect(at, name).toHaveProperty(key)
        at = (at as Values)[key]
      }
    }
    expect(page).toContain(`(${values.clientConfig.uninstallTimeoutSeconds})`)
    expect(page).toContain(`${values.agent.cache.maxBytes.replace('GiB', ' GiB')} by default`)
    expect(page).toContain(`a volume of ${values.seeder.persistence.size.replace('Gi', ' GiB')}`)
    expect(codeBlocksOf(page).length * 2).toBe(page.match(/```/g)!.length)
  })

  describe.each(GOOD_VALUES)('NOTES.txt for $title', ({ values }) => {
    test('names objects that are there, and commands that Shoal understands', async ({ skip }) => {
      const { files } = await renderer.render(values)
      const notes = files.get('templates/NOTES.txt')
      // Helm itself does not show them without a cluster.
      if (notes === undefined) return skip('rendered by Helm')
      const objects = [...files].flatMap(([path, text]) => (path.endsWith('.yaml') ? objectsIn(text) : []))
      expect(objectsMeantBy(notes).length).toBeGreaterThan(2)
      expect(missingObjects(notes, objects)).toEqual([])
      expect(notes).not.toContain('<no value>')
      const commands = notes.split('\n').flatMap((line) => shoalCommandsIn(line.trim(), () => ''))
      for (const words of commands.filter(([command]) => command !== 'doctor')) understoodCommand(words)
      for (const [, namespace] of notes.matchAll(/-n (\S+)/g)) expect(namespace).toBe(NAMESPACE)
    })
  })

  test('NOTES.txt says what the values call for', async ({ skip }) => {
    const notesWith = async (title: string) => {
      const { values } = GOOD_VALUES.find((one) => one.title.startsWith(title))!
      return (await renderer.render(values)).files.get('templates/NOTES.txt') ?? ''
    }
    if ((await notesWith('nothing but')) === '') return skip('rendered by Helm')
    expect(await notesWith('nothing but')).toMatch(/port-forward.*are refused until.*lets in\n10\.0\.0\.0/s)
    expect(await notesWith('nothing but')).not.toContain('Every seeder tracks')
    expect(await notesWith('three seeders')).toMatch(/3 seeders.*3 replicas read an image/s)
    expect(await notesWith('an ingress with TLS')).toContain('docker push registry.example.com/my/app:1')
    expect(await notesWith('secrets')).toContain('--token-file api-token')
    expect(await notesWith('Docker')).toMatch(/--image=127.0.0.1:5001.my.app:1.*Docker Hub alone/s)
    expect(await notesWith('nodes left alone')).toContain('Nodes were left alone')
    expect(await notesWith('agents in the pod network')).toContain('and networkPolicy.clients')
    expect(await notesWith('no network policies')).toContain('asks nobody who he is')
  })
})
