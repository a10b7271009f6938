/**
 * Goal: no emitter without an error listener and no promise without a handler comes back into the services unseen. Each ended a
 * process once.
 * Method: the sources are read as text. Whoever makes a socket, a server, a child, a worker or a WebSocket listens for its errors
 * in the same file; bodies are given up in one place; a promise that is dropped (`void …`) is one that is known never to reject.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const PACKAGES = fileURLToPath(new URL('../../packages', import.meta.url))
/** What runs inside of a service; pushing and pulling whole images is the command line's. */
const OF_SERVICES = [
  ...['agent', 'registry', 'registry-client', 'seeder', 'service', 'storage', 'swarm', 'tracker', 'triggers'],
  'webtorrent-engine',
]

const sources = OF_SERVICES.flatMap((name) =>
  readdirSync(join(PACKAGES, name, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !/\.(test|bench|d)\.ts$|(^|\/)testing\//.test(path))
    .filter((path) => !(name === 'registry-client' && path.startsWith('images/')))
    .map((path) => ({
      path: `${name}/src/${path}`,
      code: readFileSync(join(PACKAGES, name, 'src', path), 'utf8')
        .replace(/\/\*[\s\S]*?\*\//g, '')
        .replace(/^\s*\/\/.*$/gm, ''),
    })),
)

/** Calls that return something whose `error` nobody else listens for. */
const MAKES_AN_EMITTER =
  /(?:[=(,]|\breturn|\bawait)\s+(?:connect|createServer|createReadStream|createWriteStream|spawn|fork)\(|new (?:WebSocket|Worker|Socket)\(|\.on\('upgrade', \(request: /

/** Where the listener is put on by others, and by whom. */
const HEARD_ELSEWHERE: Readonly<Record<string, string>> = {
  'swarm/src/native/take-over.ts': 'PeerConnection.open, in the same turn',
}

/** `void` before these: each catches what its work throws, bugs apart. By file, so that a new one is looked at. */
const NEVER_REJECTS: Readonly<Record<string, readonly string[]>> = {
  'agent/src/agent.ts': ['seeder.client.greet('],
  'agent/src/arriving-pulls.ts': ['this.#nudge(', 'this.#fetch('],
  'agent/src/passing-blobs.ts': ['this.#gate.run('],
  'agent/src/reachability.ts': ['this.#dialForOther(', 'this.#heard('],
  'registry/src/image-store/image-store.ts': ['sweep('],
  'storage/src/file-blob.ts': ['this.#closeHandle('],
  'storage/src/hasher.ts': ['this.#end('],
  'storage/src/piece-writes.ts': ['this.#writeRun('],
  'swarm/src/native/native-engine.ts': ['this.#dial(', 'this.#shaken(', 'this.#verify('],
  'tracker/src/peer-tries.ts': ['this.#dial('],
  'tracker/src/tracker.ts': ['this.#lookUp('],
  'webtorrent-engine/src/webtorrent-engine.ts': ['found.then('],
}

describe('the sources of the services', () => {
  it('listen for the errors of every emitter that they make', () => {
    const unheard = sources
      .filter(({ code }) => MAKES_AN_EMITTER.test(code))
      .filter(({ path, code }) => !/\.on\(\s*'error'/.test(code) && HEARD_ELSEWHERE[path] === undefined)
    expect(unheard.map(({ path }) => path)).toEqual([])
  })

  it('give bodies of answers up in one place, and hear those of every answer', () => {
    const destroying = sources
      .filter(({ code }) => /\bbody\.(?:destroy|dump)\(/.test(code))
      .map(({ path }) => path)
    expect(destroying.toSorted()).toEqual([
      // Has listened for the body's errors since the answer came.
      'agent/src/push-forwarding.ts',
      'service/src/http-client/answer.ts',
      // The 407 of a proxy.
      'service/src/http-client/http-client.ts',
      // The AWS client's own bodies.
      'storage/src/s3-object-store.ts',
    ])
    const asking = sources.filter(({ code }) => /\bhttps?\b\)?\.request\(/.test(code))
    // The second asks proxies for tunnels, whose answers have no body.
    expect(asking.map(({ path }) => path).toSorted()).toEqual([
      'service/src/http-client/agents.ts',
      'service/src/http-client/http-client.ts',
    ])
    expect(asking.at(-1)?.code).toContain('answerOf(')
    // Nor by another door: an `import` of `node:http` alone loads Node's own fetch.
    const others = sources.filter(({ code }) =>
      /(?:await |[=(,:?] ?)fetch\(|from '(?:undici|node:https?)'/.test(code.replace(/import type .*/g, '')),
    )
    expect(others.map(({ path }) => path)).toEqual([])
  })

  it('drop no promise but those that never reject', () => {
    const dropped = sources.flatMap(({ path, code }) =>
      [...code.matchAll(/(?<![:<,|] ?|=> ?\w*)\bvoid ((?:this\.)?#?[\w.#]+\()/g)].map(([, call]) => ({
        path,
        call: call!,
      })),
    )
    const unknown = dropped.filter(({ path, call }) => !NEVER_REJECTS[path]?.includes(call))
    expect(unknown).toEqual([])
  })
})
