/** `--platform`, which may be repeated. */
import type { Platform } from '@shoal/oci'
import { parsePlatform } from '@shoal/oci'
import { InvalidArgumentError, Option } from 'commander'

const PLATFORMS_MAX = 64

/** @param description what becomes of the platforms that are given */
export function platformOption(description: string): Option {
  return new Option(
    '--platform <PLATFORM>',
    `${description}, such as linux/arm64; may be repeated`,
  ).argParser(platforms)
}

function platforms(text: string, before: readonly Platform[] = []): readonly Platform[] {
  const platform = parsePlatform(text)
  if (platform === undefined)
    throw new InvalidArgumentError(
      'An operating system and an architecture are expected, such as linux/arm64.',
    )
  if (before.length >= PLATFORMS_MAX) throw new InvalidArgumentError(`At most ${PLATFORMS_MAX} are allowed.`)
  return [...before, platform]
}
