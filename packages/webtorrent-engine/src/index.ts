import type { EngineModule } from '@shoal/swarm'
import { WebTorrentEngine } from './webtorrent-engine.ts'

export { WebTorrentEngine }

export const createEngine: EngineModule['createEngine'] = (init) => new WebTorrentEngine(init)
