/**
 * Goal: a client learns that this is a registry, and that it needs no credentials. OCI distribution specification,
 * "Determining Support" (end-1).
 * Method: plain HTTP against every face.
 */
import { describeFaces } from './faces.ts'
import { determiningSupport } from './sections/determining-support.ts'

describeFaces(determiningSupport)
