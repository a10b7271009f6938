/** The engines by name. Each is loaded only when it is asked for: webtorrent alone takes some 40 MB of memory. */
import type { SwarmEngine, SwarmEngineInit } from './engine.ts'

export const ENGINE_NAMES = ['native', 'webtorrent'] as const
export type EngineName = (typeof ENGINE_NAMES)[number]

/** @returns the engine, not started */
export async function createEngine(name: EngineName, init: SwarmEngineInit): Promise<SwarmEngine> {
  if (name === 'webtorrent') {
    const { WebTorrentEngine } = await import('./webtorrent-engine.ts')
    return new WebTorrentEngine(init)
  }
  const { NativeEngine } = await import('./native/native-engine.ts')
  return new NativeEngine(init)
}
