#!/usr/bin/env -S node --max-semi-space-size=1 --v8-pool-size=1
// Buffers of bodies die young and lie outside V8's heap: a small young generation frees them soon. In a push of 1 GB the
// seeder grew by 7 MB instead of 76 MB with it, and was no slower.
import { readFileSync } from 'node:fs'

const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const minimum = engines.node.replace('>=', '')
if (!isAtLeast(minimum, process.versions.node)) {
  console.error(
    `shoal needs Node ${minimum} or newer; this is ${process.version}. Within the project, npx and npm scripts bring their own.`,
  )
  process.exit(1)
}
await import('../dist/main.js')

/** Both are three numbers with dots between. */
function isAtLeast(least, version) {
  const [there, wanted] = [version, least].map((text) => text.split('.').map(Number))
  const place = wanted.findIndex((number, index) => number !== there[index])
  return place === -1 || there[place] > wanted[place]
}
