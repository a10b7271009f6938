/** Goal: every shell block of a page is either handed to the test that runs it, or has a reason why not. */
import { describe, expect, test } from 'vitest'
import { pageCommands } from './page-commands.ts'

const fence = '```'
const page = `# A page

${fence}sh
docker pull 10.0.0.10:7000/my/app:1
${fence}

<!-- not run in tests: needs a Kubernetes cluster -->
${fence}sh
kubectl get pods
${fence}

1. In a list:

   ${fence}sh
   echo one \\
     two
   ${fence}

${fence}yaml
not: shell
${fence}
`

describe('the commands of a page', () => {
  test('come in order, with their lines, without the indent of a list', () => {
    expect(pageCommands(page)).toEqual([
      { line: 4, script: 'docker pull 10.0.0.10:7000/my/app:1\n' },
      { line: 9, script: 'kubectl get pods\n', notRun: 'needs a Kubernetes cluster' },
      { line: 15, script: 'echo one \\\n  two\n' },
    ])
  })

  test('are changed to what the test has', () => {
    const [first] = pageCommands(page, { '10.0.0.10:7000': '127.0.0.1:4711' })
    expect(first!.script).toBe('docker pull 127.0.0.1:4711/my/app:1\n')
  })

  test('must have what is changed, in a block that is run', () => {
    expect(() => pageCommands(page, { '10.9.9.9': 'x' })).toThrow('no block that is run has 10.9.9.9')
    expect(() => pageCommands(page, { kubectl: 'true' })).toThrow('no block that is run has kubectl')
  })

  test('are left out only for a reason', () => {
    const curt = page.replace('needs a Kubernetes cluster', 'cannot')
    expect(() => pageCommands(curt)).toThrow('line 9: "cannot" does not say why')
    expect(() => pageCommands('# Nothing\n')).toThrow('no sh blocks')
  })
})
