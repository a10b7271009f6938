#!/usr/bin/env node
// Only syntax that an old Node can read as well: what it would say of the rest helps nobody.
const [major] = process.versions.node.split('.').map(Number)
if (major < 22) {
  console.error(
    `shoal needs Node 22 or newer; this is ${process.version}. Within the project, npx and npm scripts bring their own.`,
  )
  process.exit(1)
}
import('../dist/main.js').catch((error) => {
  const isUnbuilt = error.code === 'ERR_MODULE_NOT_FOUND' && error.message.includes('/dist/')
  console.error(isUnbuilt ? 'shoal is not built yet: run `npm run build` first.' : error)
  process.exit(1)
})
