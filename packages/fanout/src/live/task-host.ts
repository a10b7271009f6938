/** The other end of a {@link TaskChild}: reads tasks from standard input, writes answers to standard output. */

import { createInterface } from 'node:readline'
import { assert } from '@shoal/core'
import type { Task, TaskLine } from './task-child.ts'

export type Tasks = Readonly<
  Record<string, (input: never, onBytes: (bytes: number) => void) => Promise<unknown>>
>

/** News of progress are gathered for this long: each costs both sides a wake-up. */
const NEWS_INTERVAL_MS = 1_000

/** Resolves when the input has ended. */
export async function serveTasks(tasks: Tasks): Promise<void> {
  for await (const text of createInterface({ input: process.stdin })) {
    void serve(tasks, JSON.parse(text) as Task)
  }
}

async function serve(tasks: Tasks, { id, do: name, with: input }: Task): Promise<void> {
  let bytes = 0
  const news = () => {
    if (bytes > 0) write({ id, bytes })
    bytes = 0
  }
  const timer = setInterval(news, NEWS_INTERVAL_MS)
  try {
    const task = tasks[name]
    assert(task !== undefined, `the task ${name} is known`)
    const result = await task(input as never, (more) => {
      bytes += more
    })
    news()
    write({ id, result: result ?? null })
  } catch (error) {
    write({ id, error: error instanceof Error ? error.message : String(error) })
  } finally {
    clearInterval(timer)
  }
}

function write(line: TaskLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
