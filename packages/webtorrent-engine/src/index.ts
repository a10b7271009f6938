import type { EngineModule } from '@shoal/swarm'
import { WebTorrentEngine } from './webtorrent-engine.ts'

/** @public The native engine's package loads it by the package's name. */
export const create: EngineModule['create'] = (init) => new WebTorrentEngine(init)
