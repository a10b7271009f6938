#!/usr/bin/env bash
# fastify 5.12.8 answers 414 to a path whose parameter is longer than 100 characters; its documentation says "not found".
#
# Of `maxParamLength` docs/Reference/Server.md in the package says: "If the maximum length limit is reached, the not found route
# will be invoked." It is not: the answer is 414, in fastify's own form, and neither the application's not-found handler nor its
# route sees the request. A sha512 digest, as registries have it in their paths, is 135 characters long.
#
# Needs Node 20 or newer and npm. Exits with 1 when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >npm.log
npm install --ignore-scripts --no-audit --no-fund fastify@5.12.8 >>npm.log
cat >ask.mjs <<'JS'
import Fastify from 'fastify'

const server = Fastify()
server.setNotFoundHandler((_question, answer) => answer.code(404).send('not found'))
server.get('/blobs/:digest', () => 'found')
for (const [name, path] of [
  ['no route', '/tags'],
  ['sha256', `/blobs/sha256:${'a'.repeat(64)}`],
  ['sha512', `/blobs/sha512:${'a'.repeat(128)}`],
]) {
  const { statusCode, body } = await server.inject(path)
  console.log(`${name}: ${statusCode} ${/"code":"(\w+)"/.exec(body)?.[1] ?? body}`)
}
JS
{
  grep -A 2 'multi) routes by using `maxParamLength`' node_modules/fastify/docs/Reference/Server.md
  node ask.mjs
} | tee seen
diff - seen <<'SEEN'
multi) routes by using `maxParamLength` option; the default value is 100
characters. If the maximum length limit is reached, the not found route will
be invoked.
no route: 404 not found
sha256: 200 found
sha512: 414 FST_ERR_MAX_PARAM_LENGTH
SEEN
