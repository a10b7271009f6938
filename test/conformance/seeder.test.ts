/**
 * Goal: a seeder over a folder keeps every section of the specification.
 * Method: one seeder for all sections; each test has repositories and content of its own.
 */
import { describeFace, SEEDER } from './faces.ts'
import { SECTIONS, SECTIONS_AFTERWARDS } from './sections.ts'

describeFace(SEEDER, [...SECTIONS, ...SECTIONS_AFTERWARDS])
