/** Takes a `multipart/byteranges` body apart. RFC 9110, 14.6; RFC 2046, 5.1. */
export interface RangePart {
  readonly contentRange: string
  readonly contentType: string
  readonly bytes: Buffer
}

/** @throws Error where the body is not what `contentType` says */
export function partsOf(contentType: string, body: Buffer): RangePart[] {
  const boundary = /^multipart\/byteranges;\s*boundary="?([0-9A-Za-z'()+_,./:=?-]{1,70})"?$/.exec(
    contentType,
  )?.[1]
  if (boundary === undefined) throw new Error(`not multipart/byteranges: ${contentType}`)
  // One character for each byte; the break before the first boundary may be left out.
  const sections = `\r\n${body.toString('latin1').replace(/^\r\n/, '')}`.split(`\r\n--${boundary}`)
  if (sections.shift() !== '' || !/^--\s*$/.test(sections.pop() ?? '')) throw new Error('not framed')
  return sections.map((section) => {
    const end = section.indexOf('\r\n\r\n')
    if (end === -1) throw new Error('a part without headers')
    const headers = new Map(
      section
        .slice(2, end)
        .split('\r\n')
        .map((line) => {
          const colon = line.indexOf(':')
          return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
        }),
    )
    return {
      contentRange: headers.get('content-range') ?? '',
      contentType: headers.get('content-type') ?? '',
      bytes: Buffer.from(section.slice(end + 4), 'latin1'),
    }
  })
}
