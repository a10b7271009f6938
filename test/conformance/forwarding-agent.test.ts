/**
 * Goal: an agent that forwards pushes keeps every section of the specification, pushes included.
 * Method: one such agent in front of one seeder for all sections; each test has repositories and content of its own.
 */
import { describeFace, FORWARDING_AGENT } from './faces.ts'
import { SECTIONS, SECTIONS_AFTERWARDS } from './sections.ts'

describeFace(FORWARDING_AGENT, [...SECTIONS, ...SECTIONS_AFTERWARDS])
