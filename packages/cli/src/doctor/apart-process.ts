/** The process of `apart.ts`: answers one question and ends. */
import { lookup } from 'node:dns/promises'
import type { FolderReport } from '@shoal/wire'
import type { ApartQuestion, LookupAnswer } from './apart.ts'

process.once('message', async (question: ApartQuestion) => {
  process.send?.(question.kind === 'lookup' ? await lookUp(question.host) : await look(question.path))
  process.disconnect()
})

async function look(path: string): Promise<FolderReport> {
  const { folderState } = await import('@shoal/storage')
  return folderState(path)
}

async function lookUp(host: string): Promise<LookupAnswer> {
  try {
    return { addresses: await lookup(host, { all: true }) }
  } catch (error) {
    return { problem: (error as NodeJS.ErrnoException).code ?? 'UNKNOWN' }
  }
}
