/**
 * Where the services serve unless told. Here and not in their settings alone, because a health check has to know it and
 * must not load a service's schema for it. Pure.
 */
export const DEFAULT_LISTEN = { seeder: '127.0.0.1:7000', agent: '127.0.0.1:5001' } as const

export type ServiceName = keyof typeof DEFAULT_LISTEN
