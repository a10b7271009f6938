#!/usr/bin/env node
const [major] = process.versions.node.split('.').map(Number)
if (major < 22) {
  console.error(
    `shoal needs Node 22 or newer; this is ${process.version}. Within the project, npx and npm scripts bring their own.`,
  )
  process.exit(1)
}
await import('../dist/main.js')
