import { engineContract } from './testing/engine-contract.ts'
import { WebTorrentEngine } from './webtorrent-engine.ts'

engineContract('webtorrent', (init) => new WebTorrentEngine(init))
