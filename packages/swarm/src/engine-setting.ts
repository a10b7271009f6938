import Type from 'typebox'
import { ENGINE_NAMES } from './engines.ts'

/** Of both services. */
export const engineSetting = Type.Enum([...ENGINE_NAMES], {
  default: 'native',
  description:
    'What moves pieces between peers: Shoal’s own engine, or webtorrent for comparison, which images and archives leave out.',
})
