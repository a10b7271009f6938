import type { TrackerEvent } from '@shoal/engine'

/** Hands an event to the table and performs what follows. */
export type TrackerDriver = (event: TrackerEvent) => void
