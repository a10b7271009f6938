/**
 * `daemon.json`: one more element in `registry-mirrors`, the first, and every other byte as it was. Pure.
 * The place is found by a parser that keeps offsets, the result compared with what is meant.
 */
import { type Node, parseTree } from 'jsonc-parser'
import { isSameDocument, parseJsonObject, withoutMark } from '../documents.ts'
import type { Merged } from '../plan.ts'

export const DAEMON_CONFIG = '/etc/docker/daemon.json'
const KEY = 'registry-mirrors'

/** @throws RuntimeRefusedError when it is not a JSON object */
export function withMirror(url: string, before: string | undefined): Merged {
  if (before === undefined || withoutMark(before).trim() === '')
    return { kind: 'text', text: `{\n  "${KEY}": [${JSON.stringify(url)}]\n}\n` }
  const document = parseJsonObject(DAEMON_CONFIG, before)
  const root = parseTree(withoutMark(before))!
  const same = (root.children ?? []).filter((property) => nameOf(property).toLowerCase() === KEY)
  if (same.length > 1 || (same.length === 1 && nameOf(same[0]!) !== KEY))
    return refused(`has ${KEY} more than once, or in other letters`)
  const mirrors = document[KEY] ?? []
  if (!Array.isArray(mirrors) || !mirrors.every((mirror) => typeof mirror === 'string'))
    return refused(`has a ${KEY} that is no list of URLs`)
  if (mirrors.some((mirror) => mirror.replace(/\/+$/, '') === url)) return { kind: 'text', text: before }
  const mark = before.length - withoutMark(before).length
  const text = before.slice(0, mark) + inserted(before.slice(mark), root, same[0], url)
  const wanted = { ...document, [KEY]: [url, ...mirrors] }
  if (!isSameDocument(parseJsonObject(DAEMON_CONFIG, text), wanted))
    return refused('is written so that nothing can be added safely')
  return { kind: 'text', text }
}

function inserted(text: string, root: Node, property: Node | undefined, url: string): string {
  const value = property?.children?.[1]
  if (value?.type === 'array') {
    const [first] = value.children ?? []
    const open = value.offset + 1
    const space = first === undefined ? '' : text.slice(open, first.offset)
    const separator = first === undefined ? '' : `,${space === '' ? ' ' : space}`
    const at = first?.offset ?? open
    return `${text.slice(0, at)}${JSON.stringify(url)}${separator}${text.slice(at)}`
  }
  // `"registry-mirrors": null` is as good as none, and the key is there.
  if (value !== undefined)
    return `${text.slice(0, value.offset)}[${JSON.stringify(url)}]${text.slice(value.offset + value.length)}`
  const entry = `"${KEY}": [${JSON.stringify(url)}]`
  const properties = root.children ?? []
  const [first] = properties
  const last = properties.at(-1)
  if (first === undefined || last === undefined)
    return `${text.slice(0, root.offset + 1)} ${entry} ${text.slice(root.offset + 1)}`
  const space = text.slice(root.offset + 1, first.offset) || ' '
  const end = last.offset + last.length
  return `${text.slice(0, end)},${space}${entry}${text.slice(end)}`
}

function nameOf(property: Node): string {
  return String(property.children?.[0]?.value)
}

function refused(reason: string): Merged {
  return { kind: 'refused', reason: `${reason}; mend it and run this again` }
}
