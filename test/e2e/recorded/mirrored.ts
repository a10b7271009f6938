/**
 * The one place where recorded pulls become pulls from a mirror. Until the agent maps what a client of a mirror says to a
 * repository of the seeder, requests name the seeder's repositories, and no host is said anywhere. Then set the host here:
 * containerd says it as `?ns=`, a BuildKit mirror with a path in both ways, all others as the first segment of the name.
 */
const MIRRORED_HOST: string | undefined = undefined

const hostSegment = MIRRORED_HOST === undefined ? '' : `${MIRRORED_HOST}/`

/** For clients that name the registry beside the path. */
export const NAMESPACE_QUERY = MIRRORED_HOST === undefined ? '' : `?ns=${MIRRORED_HOST}`

/** The repository's name for clients that put the registry into the path; also the name that the seeder keeps it under. */
export const mirroredName = (repository: string) => `${hostSegment}${repository}`
