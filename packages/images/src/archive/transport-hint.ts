/** What to type where a person has typed a name of skopeo's for what he means (`dir:…`, `docker-daemon:…`). Pure. */

/** Those that lie in a file system and are read here. */
const FILES = ['dir', 'oci', 'oci-archive', 'docker-archive']
/** Those of a program that has to write a file first. */
const ELSEWHERE = ['docker-daemon', 'containers-storage', 'docker', 'ostree', 'sif']

/** @returns undefined for a path that names no transport */
export function transportHint(path: string): string | undefined {
  const [, transport = '', rest = ''] = /^([a-z-]+):(.*)$/s.exec(path) ?? []
  if (FILES.includes(transport)) {
    const { file, image } = withoutImage(rest, transport)
    const choice = image === undefined ? '' : ` --image ${image}`
    return `leave "${transport}:" out: shoal push ${file}${choice} …`
  }
  if (!ELSEWHERE.includes(transport)) return undefined
  return `it is no file; write it to one first, skopeo copy ${path} oci-archive:image.tar, and push image.tar`
}

/** Behind the path of all but `dir:` the image's name may stand. */
function withoutImage(rest: string, transport: string): { file: string; image?: string } {
  const colon = rest.indexOf(':')
  if (transport === 'dir' || colon === -1) return { file: rest }
  return { file: rest.slice(0, colon), image: rest.slice(colon + 1) }
}
