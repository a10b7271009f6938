/** Why a question over HTTP came to nothing, in words for whoever has to mend it. Pure. */

export function connectionTrouble(error: unknown): string {
  const code = codeOf(error)
  if (code.startsWith('HPE_')) return 'what it says is not HTTP; is it the port for peers, or one for https?'
  if (code.startsWith('ERR_SSL') || code === 'EPROTO')
    return 'it does not speak TLS as https does; is it plain http?'
  if (/CERT|ISSUER|SIGNATURE/.test(code)) return `its certificate is not accepted (${code})`
  return TROUBLES[code] ?? (code === '' ? 'it does not answer in time' : `it does not answer (${code})`)
}

/** The same once an answer has begun. */
export function cutTrouble(error: unknown): string {
  const code = codeOf(error)
  const isSilence = code === '' || code === 'HTTP_BODY_TIMEOUT'
  return isSilence ? 'its answer stood still' : `its answer was cut short (${code})`
}

const CLOSED = 'it closed the connection without an answer; is it the port for peers, or one for https?'
const TROUBLES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'its name does not resolve',
  EAI_AGAIN: 'its name does not resolve now',
  EHOSTUNREACH: 'no way leads to its address',
  ENETUNREACH: 'no way leads to its network',
  ETIMEDOUT: 'its address does not answer in time',
  HTTP_CONNECT_TIMEOUT: 'its address does not answer in time',
  HTTP_SEND_TIMEOUT: 'it does not answer in time',
  HTTP_HEADERS_TIMEOUT: 'it does not answer in time',
  HTTP_BODY_TIMEOUT: 'it does not answer in time',
  ECONNRESET: CLOSED,
}

/** The system's word, of the first of several attempts; empty where time was up. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return ''
  if ('code' in error && typeof error.code === 'string') return error.code
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  return error.cause === undefined ? '' : codeOf(error.cause)
}
