/** Names inside an archive, brought to one form. Pure: nothing is looked up. */

/** @returns `a/b`, `''` for the archive itself, or undefined when the name leads out of it */
export function entryPath(name: string): string | undefined {
  // Archives made on Windows have none of these in names that images need; a reader there would take them for folders.
  if (name.startsWith('/') || name.includes('\\') || name.includes('\0')) return undefined
  const parts: string[] = []
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) return undefined
  }
  return parts.join('/')
}

/** Where a symbolic link leads: its text counts from the folder that it lies in. */
export function linkedPath(from: string, link: string): string | undefined {
  if (link.startsWith('/')) return undefined
  return entryPath(`${from.slice(0, from.lastIndexOf('/') + 1)}${link}`)
}
