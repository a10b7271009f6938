/** What somebody else wrote, safe to show on a terminal: on one line, and without its escapes. Pure. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim()
}
