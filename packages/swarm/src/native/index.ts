import type { EngineModule } from '../engine.ts'
import { NativeEngine } from './native-engine.ts'

export const createEngine: EngineModule['createEngine'] = (init) => new NativeEngine(init)
