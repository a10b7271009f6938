export { announcedBytes, hasBody } from './announced-body.ts'
export { type BodyOnItsWay, BodyPlaces, type BodyPlacesInit, inPlace } from './body-places.ts'
export { ClientLeftError } from './client-left.ts'
export { type Clock, steadyMs, systemClock } from './clock.ts'
export { Gate } from './gate.ts'
export { discardAnswer, type HttpAnswer, readShortBody } from './http-client/answer.ts'
export {
  HttpTimeoutError,
  isTransportFailure,
  ProxyRefusedError,
  transportReason,
} from './http-client/errors.ts'
export { HttpClient, type HttpRequest } from './http-client/http-client.ts'
export { inParallel } from './in-parallel.ts'
export { loggableUrl, withoutLogin } from './loggable-url.ts'
export { readManifest } from './manifest-text.ts'
export { ownFolder, warnOfOpenFolders } from './own-folders.ts'
export { logProxies, NO_PROXIES, type Proxies, proxiesOf, type ShownProxies, shownProxy } from './proxies.ts'
export { isSameSecret } from './same-secret.ts'
export { schemaController } from './schema-compilers.ts'
export { createHttpServer, type HttpServerLimits, listenOn, portOf, type Readiness } from './server.ts'
export { type Running, Service } from './service.ts'
export { version } from './version.ts'
export { orAborted, within } from './waiting.ts'
