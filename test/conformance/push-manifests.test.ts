/**
 * Goal: every manifest that the specification allows is kept byte for byte under all its names, and every other is refused
 * with a reason and leaves nothing. OCI distribution specification, "Pushing Manifests" and "Pushing Manifests with Subject"
 * (end-7a, end-7b); image specification, "Image Manifest" and "Image Index".
 * Method: each kind of document pushed by tag, by digest and by digest with tags; the answer's headers checked, the bytes read
 * back from everywhere. A face that takes no pushes must say so on every route.
 */
import { describeFaces } from './faces.ts'
import { pushManifests } from './sections/push-manifests.ts'

describeFaces(pushManifests)
