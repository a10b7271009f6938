/** All sections of the specification that every face has to keep. */
import type { Section } from './faces.ts'
import { contentDiscovery } from './sections/content-discovery.ts'
import { contentManagement } from './sections/content-management.ts'
import { determiningSupport } from './sections/determining-support.ts'
import { errors } from './sections/errors.ts'
import { noWarnings } from './sections/no-warnings.ts'
import { pullBlobs } from './sections/pull-blobs.ts'
import { pullManifests } from './sections/pull-manifests.ts'
import { pushBlobs } from './sections/push-blobs.ts'
import { pushManifests } from './sections/push-manifests.ts'

/** Each test has repositories and content of its own: they share nothing. */
export const SECTIONS: readonly Section[] = [
  determiningSupport,
  pullManifests,
  pullBlobs,
  pushBlobs,
  pushManifests,
  contentDiscovery,
  contentManagement,
  noWarnings,
]

/** They use up what the others need: the errors take every upload that there is. */
export const SECTIONS_AFTERWARDS: readonly Section[] = [errors]
