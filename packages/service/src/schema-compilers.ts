/**
 * fastify's own compilers of schemas, loaded when the first route has a schema: ajv and its company take 4 MB, and an agent's
 * routes have none.
 */
import { createRequire } from 'node:module'
import type { BuildCompilerFromPool } from '@fastify/ajv-compiler'
import type { SerializerFactory } from '@fastify/fast-json-stringify-compiler'
import type { FastifyServerOptions } from 'fastify'

const load = createRequire(import.meta.url)

export const schemaController: NonNullable<FastifyServerOptions['schemaController']> = {
  compilersFactory: {
    buildValidator: (...context: Parameters<BuildCompilerFromPool>) => {
      const validators: () => BuildCompilerFromPool = load('@fastify/ajv-compiler')
      return validators()(...context)
    },
    buildSerializer: (...context: Parameters<SerializerFactory>) => {
      const serializers: () => SerializerFactory = load('@fastify/fast-json-stringify-compiler')
      return serializers()(...context)
    },
  },
}
