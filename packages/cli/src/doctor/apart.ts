/**
 * Questions to the system that may hang: a resolver that nobody answers, a disk behind a dead server. They are asked in a
 * process of their own, which is left behind when its time is up. In this one they would hold its end up for minutes.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { FolderReport } from '@shoal/wire'

export type ApartQuestion =
  | { readonly kind: 'lookup'; readonly host: string }
  | { readonly kind: 'folder'; readonly path: string }

export interface FoundAddress {
  readonly address: string
  readonly family: number
}
export type LookupAnswer = { readonly addresses: readonly FoundAddress[] } | { readonly problem: string }

const CHILD = fileURLToPath(new URL('./apart-process.js', import.meta.url))

/** Never throws. @returns `problem` is the system's word, `TIMEOUT` where it gave none in time */
export async function lookUpApart(host: string, timeoutMs: number): Promise<LookupAnswer> {
  const answer = (await askApart({ kind: 'lookup', host }, timeoutMs)) as LookupAnswer | undefined
  return answer ?? { problem: 'TIMEOUT' }
}

/** Never throws. */
export async function folderStateApart(path: string, timeoutMs: number): Promise<FolderReport> {
  const answer = (await askApart({ kind: 'folder', path }, timeoutMs)) as FolderReport | undefined
  return answer ?? { folder: path, problem: 'TIMEOUT' }
}

function askApart(question: ApartQuestion, timeoutMs: number): Promise<unknown> {
  return new Promise((resolve) => {
    const child = fork(CHILD, [], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: [] })
    const settle = (answer: unknown) => {
      clearTimeout(timer)
      child.kill('SIGKILL')
      // Where even that does not end it, it is not waited for.
      child.unref()
      if (child.connected) child.disconnect()
      resolve(answer)
    }
    const timer = setTimeout(() => settle(undefined), timeoutMs)
    child.once('message', settle)
    child.once('error', () => settle(undefined))
    child.once('exit', () => settle(undefined))
    child.send(question, () => {})
  })
}
