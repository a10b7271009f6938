import { engineContract } from '../testing/engine-contract.ts'
import { NativeEngine } from './native-engine.ts'

engineContract('native', (init) => new NativeEngine(init))
