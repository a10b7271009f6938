/** The seeder that flags and variables name, and how to talk to it. */
import { type ControlTarget, openControlConnections } from './control-client.ts'
import { seederUrlOf } from './seeder-url.ts'
import { readToken } from './token.ts'

export interface SeederFlags {
  readonly seeder?: string
  readonly tokenFile?: string
}

/** The caller closes the client. @throws UsageError when flags or variables are wrong */
export async function controlTargetOf(
  { seeder, tokenFile }: SeederFlags,
  rest: Pick<ControlTarget, 'signal' | 'silentMsMax'>,
): Promise<ControlTarget> {
  const seederUrl = seederUrlOf(seeder, process.env)
  const token = await readToken(tokenFile, process.env)
  return { seederUrl, token, client: openControlConnections(), ...rest }
}
