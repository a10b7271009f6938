import type { EngineModule } from '../engine.ts'
import { NativeEngine } from './native-engine.ts'

export const create: EngineModule['create'] = (init) => new NativeEngine(init)
