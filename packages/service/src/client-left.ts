import { ShoalError } from '@shoal/core'

/** The client closed its connection before the answer was complete. */
export class ClientLeftError extends ShoalError {
  readonly code = 'CLIENT_LEFT'
  constructor(options?: ErrorOptions) {
    super('the client closed the connection before it had its answer', options)
  }
}
