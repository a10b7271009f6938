/** What Docker's file should hold. Docker mirrors Docker Hub and nothing else. Pure. */
import type { RuntimePlan } from '../plan.ts'
import { isDockerHub, mirrorPath, type Wish } from '../wish.ts'
import { DAEMON_CONFIG, withMirror } from './daemon-file.ts'

export function planDocker({ agent, registries, everyRegistry }: Wish): RuntimePlan {
  const others = registries.filter((registry) => !isDockerHub(registry))
  const isHubWanted = everyRegistry || others.length < registries.length
  const notes: string[] = []
  if (others.length > 0) {
    const names = others.map((registry) => `${agent}/${mirrorPath(registry)}/…`)
    notes.push(
      `docker mirrors docker.io only; other images are pulled by their name at the agent: ${names.join(', ')}`,
    )
  }
  const url = `http://${agent}`
  const file = {
    path: DAEMON_CONFIG,
    runtimes: ['docker' as const],
    marks: [url],
    byHand: `put ${JSON.stringify(url)} first into registry-mirrors by hand, or run shoal uninstall-client before this`,
    merge: (before: string | undefined) => withMirror(url, before),
  }
  return { files: isHubWanted ? [file] : [], blocked: [], notes }
}
