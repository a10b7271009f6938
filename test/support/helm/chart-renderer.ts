/**
 * The Helm chart, rendered as Helm would: by the Go program beside this file, which is Go's templates and sprig, or by Helm
 * itself where Go is not at hand. Values are held against the chart's schema first, as Helm does it.
 */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Ajv } from 'ajv'
import { stringify } from 'yaml'
import { goWithSprig, programPaths } from '../components.ts'
import { ProcessEndedError, runProcess } from '../process.ts'
import { temporaryFolder } from '../temporary-folder.ts'

export const CHART_FOLDER = fileURLToPath(new URL('../../../deploy/helm/shoal', import.meta.url))
const RENDERER_FOLDER = fileURLToPath(new URL('../helm-render', import.meta.url))
/** A bare machine compiles the standard library first. */
const BUILD_TIMEOUT_MS = 170_000
const KUBE_VERSION = '1.34.0'

export type Values = Readonly<Record<string, unknown>>

export interface RenderedChart {
  /** Text by the template's path, `templates/NOTES.txt` among them where it is known. */
  readonly files: ReadonlyMap<string, string>
}

/** The schema or a template refused the values. */
export class ChartRefusedError extends Error {
  readonly code = 'TEST_CHART_REFUSED'
}

export interface ChartRenderer extends AsyncDisposable {
  /** @throws ChartRefusedError */
  render(values: Values): Promise<RenderedChart>
}

export const RELEASE = 'shoal'
export const NAMESPACE = 'shoal'

export async function startChartRenderer(): Promise<ChartRenderer> {
  const go = goWithSprig()
  return go === undefined ? helmRenderer(programPaths('helm')[0]!) : await goRenderer(go)
}

async function goRenderer(go: { program: string; env: Record<string, string> }): Promise<ChartRenderer> {
  const folder = await temporaryFolder('helm-render')
  const binary = join(folder.path, 'helm-render')
  await runProcess(go.program, ['build', '-o', binary, '.'], {
    cwd: RENDERER_FOLDER,
    env: go.env,
    timeoutMs: BUILD_TIMEOUT_MS,
  })
  const child = spawn(binary, [CHART_FOLDER], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const check = await schemaCheck()
  return {
    async render(values) {
      child.stdin.write(`${JSON.stringify({ release: RELEASE, namespace: NAMESPACE, values })}\n`)
      const { value: line, done } = await lines.next()
      if (done) throw new Error('the renderer has ended')
      const answer = JSON.parse(line) as { values: Values; files?: Record<string, string>; error?: string }
      check(answer.values)
      if (answer.error !== undefined) throw new ChartRefusedError(answer.error)
      return { files: new Map(Object.entries(answer.files ?? {})) }
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end()
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      await folder.remove()
    },
  }
}

/** Helm itself, which knows the schema; it does not show NOTES.txt. */
export function helmRenderer(helm: string): ChartRenderer {
  return {
    async render(values) {
      await using folder = await temporaryFolder('helm')
      const file = join(folder.path, 'values.yaml')
      await writeFile(file, stringify(values))
      const words = [
        'template',
        RELEASE,
        CHART_FOLDER,
        '--namespace',
        NAMESPACE,
        '--kube-version',
        KUBE_VERSION,
      ]
      const { stdout } = await runProcess(helm, [...words, '--values', file]).catch((error: unknown) => {
        if (error instanceof ProcessEndedError) throw new ChartRefusedError(error.message)
        throw error
      })
      const files = new Map<string, string>()
      for (const document of stdout.split(/^---\n/m)) {
        const path = /^# Source: shoal\/(\S+)$/m.exec(document)?.[1]
        if (path !== undefined) files.set(path, `${files.get(path) ?? ''}---\n${document}`)
      }
      await rm(file)
      return { files }
    },
    async [Symbol.asyncDispose]() {},
  }
}

/** @returns a function that throws ChartRefusedError, with every value that the schema does not allow */
async function schemaCheck(): Promise<(values: Values) => void> {
  const schema = JSON.parse(await readFile(join(CHART_FOLDER, 'values.schema.json'), 'utf8'))
  const validate = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile(schema)
  return (values) => {
    if (validate(values)) return
    const reasons = validate.errors!.map(({ instancePath, message, params }) => {
      const { additionalProperty, allowedValues } = params as Record<string, unknown>
      const detail = additionalProperty ?? allowedValues
      return `${instancePath.slice(1).replaceAll('/', '.')} ${message}${detail === undefined ? '' : `: ${detail}`}`
    })
    throw new ChartRefusedError(reasons.join('\n'))
  }
}
