/** Where a pod finds its cluster's API server, and what it shows there: two variables and three mounted files. */
import { readFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import { NotInClusterError } from './errors.ts'

export interface Cluster {
  /** `https://host:port` */
  readonly url: string
  /** PEM. */
  readonly authority: string
  /** Of the service account of this pod. */
  readonly namespace: string
  /** Read anew for every request: the kubelet replaces it before it runs out. */
  token(): Promise<string>
}

const SERVICE_ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'
/** Tokens have some thousand bytes. */
const TOKEN_LENGTH_MAX = 65_536

/** @throws NotInClusterError */
export async function inCluster(
  environment: NodeJS.ProcessEnv,
  folder = SERVICE_ACCOUNT_FOLDER,
): Promise<Cluster> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment
  if (!host || !port)
    throw new NotInClusterError('KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set')
  const url = `https://${isIPv6(host) ? `[${host}]` : host}:${port}`
  if (!URL.canParse(url)) throw new NotInClusterError(`${url} is no URL`)
  const token = async () => {
    const text = await read(folder, 'token')
    // A token with characters that no header can have is refused here.
    if (text.length <= TOKEN_LENGTH_MAX && /^[\x21-\x7e]+$/.test(text)) return text
    throw new NotInClusterError(`${join(folder, 'token')} holds no token`)
  }
  await token()
  return { url, token, authority: await read(folder, 'ca.crt'), namespace: await read(folder, 'namespace') }
}

async function read(folder: string, name: string): Promise<string> {
  const path = join(folder, name)
  try {
    const text = (await readFile(path, 'utf8')).trim()
    if (text !== '') return text
  } catch (cause) {
    throw new NotInClusterError(`${path} cannot be read (${(cause as Error).message})`, { cause })
  }
  throw new NotInClusterError(`${path} is empty`)
}
