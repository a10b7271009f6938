/**
 * Goal: blobs come whole, in ranges, in several ranges at once, and not at all to a client that has them; on an agent also
 * while they arrive. OCI distribution specification, "Pulling blobs" and "Checking if content exists in the registry"
 * (end-2); RFC 9110, 13 and 14.
 * Method: every range on a blob that the agent has never seen; the throttled agent is looked at while its download runs.
 */
import { describeFaces, describeSlowAgent } from './faces.ts'
import { arrivingBlobs } from './sections/arriving-blobs.ts'
import { pullBlobs } from './sections/pull-blobs.ts'

describeFaces(pullBlobs)
describeSlowAgent(arrivingBlobs)
