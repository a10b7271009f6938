import { ShoalError } from '@shoal/core'

/** Bytes from the network that are not what they should be. */
export abstract class WireError extends ShoalError {}

export class FrameTooLargeError extends WireError {
  readonly code = 'WIRE_FRAME_TOO_LARGE'
  readonly frameBytes: number
  readonly frameBytesMax: number

  constructor(frameBytes: number, frameBytesMax: number) {
    super(`a frame of ${frameBytes} bytes exceeds the limit of ${frameBytesMax}; the connection is closed`)
    this.frameBytes = frameBytes
    this.frameBytesMax = frameBytesMax
  }
}

export class FrameInvalidError extends WireError {
  readonly code = 'WIRE_FRAME_INVALID'
  constructor(reason: string, options?: ErrorOptions) {
    super(`a frame could not be understood: ${reason}`, options)
  }
}

/** JSON of the control API that is not what it should be. */
export class ControlMessageInvalidError extends WireError {
  readonly code = 'WIRE_CONTROL_MESSAGE_INVALID'
  /** @param what `a line`, `a report` */
  constructor(what: string, reason: string, options?: ErrorOptions) {
    super(`${what} could not be understood: ${reason}`, options)
  }
}

/** A standard client's announce or scrape that is none. Its message goes to that client. */
export class TrackerRequestInvalidError extends WireError {
  readonly code = 'WIRE_TRACKER_REQUEST_INVALID'
}
