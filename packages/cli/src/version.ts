import { readFileSync } from 'node:fs'

/** Shoal's version, from the package itself. */
export const version: string = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
).version
