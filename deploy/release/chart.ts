/**
 * The chart as Helm packs it, and as the OCI artifact that `helm install oci://…` reads, without Helm.
 * Helm's documentation, "Use OCI-based registries": the media types and what the configuration holds.
 */
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { LayoutWriter, MEDIA_TYPES } from './oci-layout.ts'
import { gzipFile, writeTar } from './reproducible-tar.ts'

const CHART_MEDIA_TYPES = {
  config: 'application/vnd.cncf.helm.config.v1+json',
  content: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
} as const

export interface ChartInit {
  readonly chart: string
  /** Where both files go. */
  readonly out: string
  readonly staging: string
}

/** @returns the names of the files that were written */
export function writeChart({ chart, out, staging }: ChartInit): readonly string[] {
  const metadata = parse(readFileSync(join(chart, 'Chart.yaml'), 'utf8'))
  const { name, version, description } = metadata
  cpSync(chart, join(staging, name), { recursive: true })
  const packed = `${name}-${version}.tgz`
  const tar = join(staging, `${name}.tar`)
  writeTar({ path: tar, folder: staging, names: [name], mode: 'u=rwX,go=rX' })
  gzipFile(tar, join(out, packed))
  const layout = new LayoutWriter(join(staging, 'layout'))
  const manifest = layout.addDocument(MEDIA_TYPES.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: layout.addDocument(CHART_MEDIA_TYPES.config, metadata),
    layers: [layout.addBytes(CHART_MEDIA_TYPES.content, readFileSync(join(out, packed)))],
    annotations: {
      'org.opencontainers.image.title': name,
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.description': description,
    },
  })
  const artifact = `${name}-chart-${version}.oci.tar`
  layout.pack(join(out, artifact), manifest, version)
  return [packed, artifact]
}
