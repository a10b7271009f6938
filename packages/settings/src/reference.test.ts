/** Goal: docs/configuration.md says what the schemas say. `npx vitest run packages/settings --update` writes it anew. */
import { expect, test } from 'vitest'
import { agentReference, seederReference } from '../../cli/src/services.ts'
import { configurationPage } from './reference.ts'
import { settingsOf } from './setting.ts'

test('the page is in step with the schemas', async () => {
  const page = configurationPage([seederReference, agentReference])
  await expect(page).toMatchFileSnapshot('../../../docs/configuration.md')
})

test('every setting has a description, and a default that it would itself accept', () => {
  for (const setting of [seederReference, agentReference].flatMap(({ schema }) => settingsOf(schema))) {
    expect(setting.description, setting.key).toMatch(/^\p{Lu}.*\.$/u)
    expect(setting.accept(setting.default, 'file'), setting.key).toBe(setting.default)
  }
})
