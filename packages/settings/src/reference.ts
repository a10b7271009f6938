/** docs/configuration.md, from the schemas. Pure; a test keeps the file in step. */
import type { TObject } from 'typebox'
import { type Setting, settingsOf } from './setting.ts'

export interface ServiceReference {
  /** As in `shoal NAME`. */
  readonly name: string
  readonly description: string
  readonly schema: TObject
}

const INTRODUCTION = `<!-- Generated from the settings' schemas. Change those, then run: npx vitest run packages/cli --update -->
# Configuration

Both services take every setting in three ways, and the names follow from each other:

| as | looks like |
| --- | --- |
| a flag | \`--peer-listen 0.0.0.0:6001\` |
| a variable | \`SHOAL_PEER_LISTEN=0.0.0.0:6001\` |
| a line of the YAML file that \`--config FILE\` (or \`SHOAL_CONFIG\`) names | \`peerListen: 0.0.0.0:6001\` |

A flag wins over a variable, a variable over the file, the file over the default. An empty variable counts as not set.

- **Addresses** are \`host:port\`: \`127.0.0.1:5001\`, \`localhost:5001\`, \`[::1]:5001\`, or \`0.0.0.0:5001\` for every IPv4
  address of the machine. The host is always written: \`:5001\` alone is refused, because nobody should listen on all
  addresses by leaving something out. Port \`0\` lets the system choose; the service's \`ready\` line has the real one.
- **Sizes** are whole bytes, or a number with a unit: \`500MB\` or \`500M\` (10⁶), \`64GiB\` or \`64Gi\` (2³⁰).
- A wrong value, and a key in the file that does not exist, end the service with status 2 before it begins; all problems
  are shown at once, each with the flag, the variable or the line of the file that it came from. A \`SHOAL_*\` variable that
  no service reads is warned of in the log.
`

export function configurationPage(services: readonly ServiceReference[]): string {
  return `${[INTRODUCTION, ...services.map(serviceSection)].join('\n')}`
}

function serviceSection({ name, description, schema }: ServiceReference): string {
  const settings = settingsOf(schema)
  const example = settings.map(({ key, default: value }) => `${key}: ${JSON.stringify(value)}`)
  return `## shoal ${name}

${description}

${settings.map(settingSection).join('\n')}
### The file with every default

\`\`\`yaml
${example.join('\n')}
\`\`\`
`
}

function settingSection({ key, flag, variable, description, defaultText, allowed }: Setting): string {
  return `### ${key}

${description}

\`--${flag}\` · \`${variable}\` · default: ${defaultText === 'empty' ? 'empty' : `\`${defaultText}\``} · allowed: ${allowed}
`
}
