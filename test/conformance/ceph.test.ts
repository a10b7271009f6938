/**
 * Goal: what a registry promises does not depend on where its images are kept. Every section of the specification against a
 * seeder whose origin is Ceph's S3 gateway.
 * Method: one Ceph and one seeder for all sections. Tests wait for Ceph most of the time and share nothing, so some run at once.
 */
import { describeSeederOverS3 } from './faces.ts'
import { SECTIONS, SECTIONS_AFTERWARDS } from './sections.ts'

describeSeederOverS3({ together: SECTIONS, alone: SECTIONS_AFTERWARDS })
