/**
 * The one place where recorded pulls become pulls from a mirror: containerd says the registry's host as `?ns=`, a BuildKit mirror
 * with a path in both ways, all others as the first segment of the name.
 */
const MIRRORED_HOST = 'docker.io'

/** For clients that name the registry beside the path. */
export const NAMESPACE_QUERY = `?ns=${MIRRORED_HOST}`

/** The repository's name for clients that put the registry into the path; also the name that the seeder keeps it under. */
export const mirroredName = (repository: string) => `${MIRRORED_HOST}/${repository}`
