/**
 * Names of machines, as they come from elsewhere: what may be looked up, and what only looks like a name. Pure.
 * Grammar: RFC 1123, 2.1, with the underscore that Compose and others put into names.
 */

const NAME_LENGTH_MAX = 253
const LABEL = /^[0-9a-z_](?:[0-9a-z_-]{0,61}[0-9a-z_])?$/i
/** C libraries take `127.1`, `2130706433` and `0x7f.1` for addresses, and `999.1.1.1` is neither. */
const NUMBER = /^(?:\d+|0x[0-9a-f]*)$/i

/** Whether the text is a well-formed DNS name that no library takes for an address. */
export function isHostName(text: string): boolean {
  const labels = text.split('.')
  return (
    text.length <= NAME_LENGTH_MAX &&
    labels.every((label) => LABEL.test(label)) &&
    !NUMBER.test(labels.at(-1)!)
  )
}
