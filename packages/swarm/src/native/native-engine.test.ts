import { engineContract } from '@shoal/testing/engine-contract'
import { NativeEngine } from './native-engine.ts'

engineContract('native', (init) => new NativeEngine(init))
