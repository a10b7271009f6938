import type { EngineModule } from '../engines.ts'
import { NativeEngine } from './native-engine.ts'

export const createEngine: EngineModule['createEngine'] = (init) => new NativeEngine(init)
