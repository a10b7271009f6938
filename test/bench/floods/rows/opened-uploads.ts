/** 20,000 uploads that are begun and left. */
import { Pool } from 'undici'
import { pushes } from '../honest.ts'
import { type FloodRow, untilAborted } from '../row.ts'

const UPLOADS = 20_000
const AT_ONCE = 16

export const openedUploads: FloodRow = {
  name: '20,000 uploads begun and left',
  honest: pushes,
  async flood({ url }, signal, say) {
    const pool = new Pool(url, { connections: AT_ONCE })
    const counts: Record<string, number> = {}
    let begun = 0
    const begin = async () => {
      while (begun < UPLOADS && !signal.aborted) {
        begun++
        try {
          const answer = await pool.request({ method: 'POST', path: '/v2/flood/app/blobs/uploads/', signal })
          await answer.body.dump()
          counts[answer.statusCode] = (counts[answer.statusCode] ?? 0) + 1
        } catch (error) {
          counts[(error as Error).name] = (counts[(error as Error).name] ?? 0) + 1
        }
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, begin))
    say(`begun ${begun}: ${JSON.stringify(counts)}`)
    await untilAborted(signal)
    await pool.destroy()
  },
}
