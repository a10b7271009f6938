/**
 * Where what a name means is kept: in a repository of this seeder's own, or in the one that mirrors another registry's. The one
 * place where names are told apart; whoever serves, pushes or removes goes by what it says.
 */
import { DOCTOR_REPOSITORY, mirroredName, OciError, splitMirroredName } from '@shoal/oci'
import type { ImageStore } from '@shoal/registry'
import type { UpstreamRepository, Upstreams } from './upstreams.ts'

export type Location =
  | {
      readonly kind: 'own'
      readonly repository: string
      /** The default registry's of the same name: it has what is meant while nobody has pushed to the own one. */
      readonly elsewhere: UpstreamRepository | undefined
    }
  /** The seeder's own as well, with the image that every seeder carries: nobody pushes to it. */
  | { readonly kind: 'carried'; readonly repository: string }
  /** Kept here under the name of its registry. */
  | { readonly kind: 'mirrored'; readonly repository: string; readonly upstream: UpstreamRepository }

export interface LocationsParts {
  readonly images: Pick<ImageStore, 'hasRepository'>
  readonly upstreams: Pick<Upstreams, 'find'>
}

export interface LocationsInit {
  /** Names by which clients know this seeder: what they ask of them is what was pushed here. */
  readonly ownHosts: readonly string[]
  /** Where names without a host are looked for when nobody pushed them here. */
  readonly defaultUpstream: string | undefined
}

export class Locations {
  readonly #parts: LocationsParts
  readonly #init: LocationsInit

  constructor(parts: LocationsParts, init: LocationsInit) {
    this.#parts = parts
    this.#init = init
  }

  locate(name: string): Location {
    const split = splitMirroredName(name)
    const ownName = split !== undefined && this.#init.ownHosts.includes(split.host) && split.repository
    if (ownName) return this.#own(ownName)
    const upstream = this.#parts.upstreams.find(name)
    return upstream === undefined
      ? this.#own(name)
      : { kind: 'mirrored', repository: upstream.name, upstream }
  }

  /** The registry that has what is not here: another one's always, the default one while nobody has pushed to the own name. */
  async upstreamOf(location: Location): Promise<UpstreamRepository | undefined> {
    if (location.kind === 'mirrored') return location.upstream
    if (location.kind === 'carried' || location.elsewhere === undefined) return undefined
    // A name that somebody pushed to is theirs, whatever another registry has under it.
    return (await this.#parts.images.hasRepository(location.repository)) ? undefined : location.elsewhere
  }

  /**
   * The repository that a push means: the one that a pull of the same name finds.
   * @throws OciError DENIED
   */
  pushable(name: string): string {
    const { kind, repository } = this.locate(name)
    if (kind === 'own') return repository
    const why =
      kind === 'carried'
        ? 'this repository is the seeder’s own; push to another'
        : 'this repository mirrors another registry; push to that one'
    throw new OciError('DENIED', why, { detail: { name } })
  }

  /**
   * The registry that a client means by a name that is not here, where that registry is neither this one nor mirrored: whoever
   * asked goes on to it. Docker names no registry: its official images can only be of Docker Hub.
   */
  async unservedRegistry(name: string): Promise<string | undefined> {
    const { kind, repository } = this.locate(name)
    if (kind === 'mirrored' || (await this.#parts.images.hasRepository(repository))) return undefined
    const split = splitMirroredName(repository)
    if (split !== undefined) return split.host
    const isOfDocker = repository.startsWith('library/') && this.#init.defaultUpstream === undefined
    return isOfDocker ? 'docker.io' : undefined
  }

  #own(repository: string): Location {
    if (repository === DOCTOR_REPOSITORY) return { kind: 'carried', repository }
    const { defaultUpstream } = this.#init
    const name = defaultUpstream === undefined ? undefined : mirroredName(defaultUpstream, repository)
    const elsewhere = name === undefined ? undefined : this.#parts.upstreams.find(name)
    return { kind: 'own', repository, elsewhere }
  }
}
