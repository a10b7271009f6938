#!/usr/bin/env -S node --max-semi-space-size=1 --v8-pool-size=1
// Buffers of bodies die young and lie outside V8's heap: a small young generation frees them soon. In a push of 1 GB the
// seeder grew by 7 MB instead of 76 MB with it, and was no slower.
const [major] = process.versions.node.split('.').map(Number)
if (major < 22) {
  console.error(
    `shoal needs Node 22 or newer; this is ${process.version}. Within the project, npx and npm scripts bring their own.`,
  )
  process.exit(1)
}
await import('../dist/main.js')
