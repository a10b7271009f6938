/**
 * Goal: an agent is a registry to pull from, also while blobs arrive, and says on every route that pushes belong elsewhere.
 * Method: one agent in front of one seeder for all sections; then one whose downloads are so slow that a test can look at them.
 */
import { AGENT, describeFace, SLOW_AGENT } from './faces.ts'
import { arrivingBlobs } from './sections/arriving-blobs.ts'
import { SECTIONS, SECTIONS_AFTERWARDS } from './sections.ts'

describeFace(AGENT, [...SECTIONS, ...SECTIONS_AFTERWARDS])
describeFace(SLOW_AGENT, [arrivingBlobs])
