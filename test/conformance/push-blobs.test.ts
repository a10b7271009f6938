/**
 * Goal: every way to push a blob ends with exactly that blob, or with nothing. OCI distribution specification, "Pushing
 * blobs", "Mounting a blob from another repository" and "Cancel a blob upload" (end-4 to end-6, end-11, end-13, end-14).
 * Method: each route with sha256 and sha512, with right and wrong digests, chunks out of order and cut connections; what was
 * pushed is read back from where the answer says. A face that takes no pushes must say so on every route.
 */
import { describeFaces } from './faces.ts'
import { pushBlobs } from './sections/push-blobs.ts'

describeFaces(pushBlobs)
