/** How much, how long and how often, in one place. */
import { MANIFEST_BYTES_MAX } from '@shoal/oci'

export const UPSTREAM_LIMITS = {
  connectTimeoutMs: 10_000,
  /** From the request's last byte to the answer's headers. Registries that proxy others fetch before they answer. */
  headersTimeoutMs: 30_000,
  /** How long a body may stand still. */
  bodyIdleTimeoutMs: 60_000,
  /** The same of a blob's, which can be gone on with by another connection: clients wait for its bytes. */
  blobIdleTimeoutMs: 10_000,
  /** A whole small answer: waiting for a connection, headers and body. */
  answerTimeoutMs: 120_000,
  /** To one host, for everything but blobs. */
  connectionsMax: 8,
  /**
   * To one host, for blobs alone, so that slow layers do not hold up manifests. More than whoever asks for blobs uses at a
   * time: it decides which blob waits, and a queue here would undo that.
   */
  blobConnectionsMax: 72,
  /** Of a blob whose length neither its answer nor a manifest says. */
  unsaidLengthBytesMax: 16 * 1024 ** 3,
  manifestBytesMax: MANIFEST_BYTES_MAX,
  /** Tags and referrers. Registries that know no pages send 50,000 tags at once. */
  listBytesMax: 8 * 1024 * 1024,
  tokenBytesMax: 64 * 1024,
  tokensMax: 1_000,
  retriesMax: 2,
  /** Before the first repetition; doubles with each. Half of it is left to chance. */
  retryDelayMs: 250,
  redirectsMax: 5,
}

export type UpstreamLimits = Readonly<typeof UPSTREAM_LIMITS>
