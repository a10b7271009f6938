/**
 * Goal: every refusal is told in the specification's words: a status, a code, a JSON body, none for HEAD. OCI distribution
 * specification, "Error Codes".
 * Method: each code is provoked that needs no credentials: all of the fourteen but UNAUTHORIZED and DENIED, with those that
 * registries have in common beyond them. Names and digests that are none on every endpoint, exactly as they are written.
 */
import { describeFaces } from './faces.ts'
import { errors } from './sections/errors.ts'

describeFaces(errors)
