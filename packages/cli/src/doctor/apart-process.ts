/** The process of `apart.ts`: answers one question and ends. */
import { lookup } from 'node:dns/promises'
import { folderState } from '@shoal/storage'
import type { ApartQuestion, LookupAnswer } from './apart.ts'

process.once('message', async (question: ApartQuestion) => {
  const answer = question.kind === 'lookup' ? await lookUp(question.host) : await folderState(question.path)
  process.send?.(answer)
  process.disconnect()
})

async function lookUp(host: string): Promise<LookupAnswer> {
  try {
    return { addresses: await lookup(host, { all: true }) }
  } catch (error) {
    return { problem: (error as NodeJS.ErrnoException).code ?? 'UNKNOWN' }
  }
}
