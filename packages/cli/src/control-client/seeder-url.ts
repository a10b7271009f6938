/** Which seeder is meant. Pure. */
import { SeederUrlError } from './errors.ts'

export const SEEDER_VARIABLE = 'SHOAL_SEEDER'
export const SEEDER_URL_DEFAULT = 'http://127.0.0.1:7000'

/**
 * @param typed wins over the variable, the variable over the default; an empty variable counts as not set
 * @throws SeederUrlError
 */
export function seederUrlOf(
  typed: string | undefined,
  variables: Readonly<Record<string, string | undefined>>,
): string {
  if (typed !== undefined) return checked(typed, '--seeder')
  return checked(variables[SEEDER_VARIABLE] || SEEDER_URL_DEFAULT, SEEDER_VARIABLE)
}

function checked(text: string, source: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new SeederUrlError(source, 'an http or https URL is expected, such as https://seeder.example:7000')
  // Not repeated: it may be a password.
  if (url.username !== '' || url.password !== '')
    throw new SeederUrlError(source, 'a URL without name and password is expected; the token goes elsewhere')
  if (url.search !== '' || url.hash !== '')
    throw new SeederUrlError(source, 'a URL without ? and # is expected')
  return url.href.replace(/\/+$/, '')
}
