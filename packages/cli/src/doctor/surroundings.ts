/** Where this program runs: on a host, in a container, in a pod. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'

export interface Surroundings {
  readonly isInContainer: boolean
  readonly isInPod: boolean
  /** Where the host's file system is. */
  readonly hostRoot: string
  /** Whether what `shoal install-client` writes down would be seen. */
  readonly isHostVisible: boolean
}

/** Where containers that look after their host have it mounted. */
const MOUNTED_HOST = '/host'
/** Of `shoal install-client`, below the host's root. */
const CLIENT_RECORDS = 'var/lib/shoal/client'

export function surroundings(
  variables: Readonly<Record<string, string | undefined>>,
  exists: (path: string) => boolean = existsSync,
): Surroundings {
  const isInPod = variables.KUBERNETES_SERVICE_HOST !== undefined
  const isInContainer =
    isInPod || variables.container !== undefined || exists('/.dockerenv') || exists('/run/.containerenv')
  const hostRoot = isInContainer && exists(join(MOUNTED_HOST, CLIENT_RECORDS)) ? MOUNTED_HOST : '/'
  return {
    isInContainer,
    isInPod,
    hostRoot,
    isHostVisible: !isInContainer || exists(join(hostRoot, CLIENT_RECORDS)),
  }
}
