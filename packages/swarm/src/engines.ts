/**
 * The engines by name: the one place that knows them. Each is loaded only when it is asked for.
 *
 * Only the native engine is part of this package. The webtorrent engine is a package of its own, which nothing that runs in
 * production depends on: webtorrent brings a hundred packages and takes some 40 MB of memory. It is there in a checkout.
 */
import type { EngineModule, SwarmEngine, SwarmEngineInit } from './engine.ts'
import { EngineNotInstalledError } from './errors.ts'

export const ENGINE_NAMES = ['native', 'webtorrent'] as const
export type EngineName = (typeof ENGINE_NAMES)[number]

const LOADERS: Readonly<Record<EngineName, () => Promise<EngineModule>>> = {
  native: () => import('./native/index.ts'),
  webtorrent: () => installed('webtorrent', '@shoal/webtorrent-engine'),
}

/**
 * @returns the engine, not started
 * @throws EngineNotInstalledError when the engine's package is not there
 */
export async function createEngine(name: EngineName, init: SwarmEngineInit): Promise<SwarmEngine> {
  const { create } = await LOADERS[name]()
  return create(init)
}

/** @param packageName a variable, so that no compiler and no bundler takes it for a dependency of this package */
async function installed(engine: EngineName, packageName: string): Promise<EngineModule> {
  try {
    return await import(packageName)
  } catch (cause) {
    if (isMissing(cause, packageName)) throw new EngineNotInstalledError(engine, packageName, { cause })
    throw cause
  }
}

/** The package itself is not there; one that it needs and does not find is another fault, with a message of its own. */
function isMissing(error: unknown, packageName: string): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    error.code === 'ERR_MODULE_NOT_FOUND' &&
    error.message.includes(packageName)
  )
}
