/**
 * Goal: manifests come as they were pushed, by tag and by digest, and what is not there is a 404. OCI distribution
 * specification, "Pulling manifests" and "Checking if content exists in the registry" (end-3).
 * Method: pushed and pulled by plain HTTP against every face; bytes and digests compared with the test's own.
 */
import { describeFaces } from './faces.ts'
import { pullManifests } from './sections/pull-manifests.ts'

describeFaces(pullManifests)
