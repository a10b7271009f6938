import type { Seeder } from './seeder.ts'

export * from './errors.ts'
export * from './settings.ts'
export type { Seeder }

/** The service, not started. It is loaded only when it is wanted: a command line that runs one service pays for one. */
export async function createSeeder(...init: ConstructorParameters<typeof Seeder>): Promise<Seeder> {
  const { Seeder: Service } = await import('./seeder.ts')
  return new Service(...init)
}
