/**
 * Goal: what a registry promises does not depend on where its images are kept. Every section of the specification, as in the
 * files beside this one, against a seeder whose origin is Ceph's S3 gateway.
 * Method: one Ceph and one seeder for all sections; each test has repositories and content of its own.
 */
import { describeSeederOverS3 } from './faces.ts'
import { contentDiscovery } from './sections/content-discovery.ts'
import { contentManagement } from './sections/content-management.ts'
import { determiningSupport } from './sections/determining-support.ts'
import { errors } from './sections/errors.ts'
import { pullBlobs } from './sections/pull-blobs.ts'
import { pullManifests } from './sections/pull-manifests.ts'
import { pushBlobs } from './sections/push-blobs.ts'
import { pushManifests } from './sections/push-manifests.ts'

describeSeederOverS3({
  together: [
    determiningSupport,
    pullManifests,
    pullBlobs,
    pushBlobs,
    pushManifests,
    contentDiscovery,
    contentManagement,
  ],
  // It takes every upload that there is.
  alone: [errors],
})
