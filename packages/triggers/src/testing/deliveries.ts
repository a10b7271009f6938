/**
 * What each sender really sends, as functions of what was pushed: every field that the documentation or the sender's source
 * shows, so that a parser that trips over one it does not need is found out.
 */
import type { Delivery } from '../payload.ts'
import type { TriggerFormat } from '../push-event.ts'

export interface Pushed {
  readonly repository: string
  readonly tag?: string | undefined
  readonly digest?: string | undefined
}

export interface SentDelivery {
  readonly body: unknown
  readonly headers: Delivery['headers']
}

export const PUSHED_AT_MS = Date.UTC(2026, 4, 4, 10, 30, 15)
const PUSHED_AT = new Date(PUSHED_AT_MS).toISOString()
const PUSHED_AT_SECONDS = PUSHED_AT_MS / 1_000
const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' }
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'

export function distributionEvent(
  { repository, tag, digest }: Pushed,
  action = 'push',
  mediaType = MANIFEST,
) {
  return {
    id: 'f1b0c1f7-5a5e-4d0c-a0a2-1d6d27a3f5d1',
    timestamp: '2026-05-04T10:30:15.000000001Z',
    action,
    target: {
      mediaType,
      size: 1367,
      digest,
      length: 1367,
      repository,
      url: `https://registry.example:5000/v2/${repository}/manifests/${digest}`,
      tag,
    },
    request: {
      id: '2a2d0f6b-4c36-4fd5-b6cf-3d4f1bb5d8a1',
      addr: '10.0.3.7:51234',
      host: 'registry.example:5000',
      method: 'PUT',
      useragent: 'docker/29.1.0 go/go1.25.4',
    },
    actor: { name: 'ci' },
    source: { addr: 'registry-0:5000', instanceID: 'a1f3b3c2-8d0b-4a07-9a4b-7f86c5d4f9a0' },
  }
}

export function distribution(pushed: Pushed, version = 2): SentDelivery {
  return {
    body: { events: [distributionEvent(pushed)] },
    headers: { 'content-type': `application/vnd.docker.distribution.events.v${version}+json` },
  }
}

function harborData({ repository, tag, digest }: Pushed) {
  const [namespace, ...name] = repository.split('/')
  return {
    resources: [
      {
        digest,
        // Harbor repeats the digest where there is no tag.
        tag: tag ?? digest,
        resource_url: `harbor.example/${repository}${tag === undefined ? `@${digest}` : `:${tag}`}`,
      },
    ],
    repository: {
      date_created: 1_680_501_893,
      name: name.join('/') || namespace,
      namespace,
      repo_full_name: repository,
      repo_type: 'private',
    },
  }
}

export function harbor(pushed: Pushed, type = 'PUSH_ARTIFACT'): SentDelivery {
  return {
    body: { type, occur_at: PUSHED_AT_SECONDS, operator: 'robot$ci', event_data: harborData(pushed) },
    headers: { ...JSON_TYPE, authorization: 'Bearer s' },
  }
}

export function harborCloudEvent(pushed: Pushed, type = 'harbor.artifact.pushed'): SentDelivery {
  return {
    body: {
      specversion: '1.0',
      id: '66e18103-09c1-41f6-982f-37df223f3eeb',
      requestid: '51c0b694-0168-4f3c-b0db-282565455d7b',
      source: '/projects/2/webhook/policies/15',
      type,
      datacontenttype: 'application/json',
      time: PUSHED_AT,
      data: harborData(pushed),
      operator: 'robot$ci',
    },
    headers: { 'content-type': 'application/cloudevents+json' },
  }
}

export function quay({ repository, tag }: Pushed): SentDelivery {
  const [namespace, ...name] = repository.split('/')
  return {
    body: {
      name: name.join('/'),
      repository,
      namespace,
      docker_url: `quay.io/${repository}`,
      homepage: `https://quay.io/repository/${repository}`,
      updated_tags: [tag],
    },
    headers: JSON_TYPE,
  }
}

export function ecr({ repository, tag, digest }: Pushed, action = 'PUSH', result = 'SUCCESS'): SentDelivery {
  return {
    body: {
      version: '0',
      id: '13cde686-328b-6117-af20-0e5566167482',
      'detail-type': 'ECR Image Action',
      source: 'aws.ecr',
      account: '123456789012',
      time: PUSHED_AT.replace('.000', ''),
      region: 'eu-central-1',
      resources: [],
      detail: {
        result,
        'repository-name': repository,
        'image-digest': digest,
        'action-type': action,
        'image-tag': tag,
        'manifest-media-type': MANIFEST,
      },
    },
    headers: { ...JSON_TYPE, 'x-api-key': 's' },
  }
}

export function artifactory({ repository, tag, digest }: Pushed, eventType = 'pushed'): SentDelivery {
  const [repoKey, ...image] = repository.split('/')
  const imageName = image.join('/')
  return {
    body: {
      domain: 'docker',
      event_type: eventType,
      data: {
        repo_key: repoKey,
        event_type: eventType,
        path: `${imageName}/${tag}/manifest.json`,
        name: 'manifest.json',
        sha256: digest?.slice('sha256:'.length),
        size: 1206,
        image_name: imageName,
        tag: tag ?? digest?.replace(':', '__'),
        platforms: [{ architecture: 'amd64', os: 'linux' }],
      },
      subscription_key: 'shoal',
      jpd_origin: 'https://acme.jfrog.example/',
      source: 'jfrog/ci',
    },
    headers: { ...JSON_TYPE, 'x-jfrog-event-auth': 's' },
  }
}

export function dockerHub({ repository, tag }: Pushed): SentDelivery {
  const [namespace, ...name] = repository.split('/')
  return {
    body: {
      callback_url: `https://registry.hub.docker.com/u/${repository}/hook/2141b5bi5i5b02bec211i4eeih0242eg11000a/`,
      push_data: { pushed_at: PUSHED_AT_SECONDS, pusher: 'ci', tag, images: [], media_type: MANIFEST },
      repository: {
        comment_count: 0,
        date_created: 1_417_494_799,
        description: '',
        dockerfile: '',
        full_description: '# events, updated_tags and detail-type in prose mislead nobody',
        is_official: false,
        is_private: true,
        is_trusted: true,
        name: name.join('/'),
        namespace,
        owner: namespace,
        repo_name: repository,
        repo_url: `https://registry.hub.docker.com/v2/repositories/${repository}/`,
        star_count: 0,
        status: 'Active',
      },
    },
    headers: JSON_TYPE,
  }
}

export function ghcr(
  { repository, tag, digest }: Pushed,
  { action = 'published', type = 'CONTAINER', event = 'registry_package' } = {},
): SentDelivery {
  const [namespace, ...name] = repository.split('/')
  return {
    body: {
      action,
      [event]: {
        id: 7_310_842,
        name: name.join('/'),
        namespace,
        description: '',
        ecosystem: type,
        package_type: type,
        html_url: `https://github.com/orgs/${namespace}/packages/container/app/1`,
        created_at: PUSHED_AT,
        updated_at: PUSHED_AT,
        owner: { login: namespace, id: 1, type: 'Organization' },
        package_version: {
          id: 208_113_312,
          version: digest,
          name: digest,
          description: '',
          summary: '',
          metadata: [],
          container_metadata: {
            tag: { name: tag ?? '', digest },
            labels: {
              description: '',
              source: '',
              revision: '',
              image_url: '',
              licenses: '',
              all_labels: {},
            },
            manifest: {
              digest,
              media_type: MANIFEST,
              uri: `repositories/${repository}/manifests/${digest}`,
              size: 1367,
            },
          },
          package_files: [],
          package_url: `ghcr.io/${repository}:${tag}`,
        },
        registry: null,
      },
      organization: { login: namespace, id: 1 },
      sender: { login: 'ci', id: 2, type: 'User' },
    },
    headers: {
      ...JSON_TYPE,
      'user-agent': 'GitHub-Hookshot/044aadd',
      'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
      'x-github-event': event,
      'x-hub-signature-256': `sha256=${'0'.repeat(64)}`,
    },
  }
}

export function shoalEvent({ repository, tag, digest }: Pushed, id = '1') {
  return {
    specversion: '1.0',
    id,
    source: 'https://ci.example/builds/17',
    type: 'dev.shoal.push',
    time: PUSHED_AT,
    data: { repository, tag, digest, registry: 'registry.example:5000' },
  }
}

export function cloudEvent(pushed: Pushed): SentDelivery {
  return {
    body: shoalEvent(pushed),
    headers: { 'content-type': 'application/cloudevents+json; charset=utf-8' },
  }
}

export function cloudEventBatch(...pushed: readonly Pushed[]): SentDelivery {
  return {
    body: pushed.map((one, index) => shoalEvent(one, String(index))),
    headers: { 'content-type': 'application/cloudevents-batch+json' },
  }
}

function binaryCloudEvent(pushed: Pushed): SentDelivery {
  const { data, ...attributes } = shoalEvent(pushed)
  const headers = Object.entries(attributes).map(([name, value]) => [`ce-${name}`, encodeURIComponent(value)])
  return { body: data, headers: { 'content-type': 'application/json', ...Object.fromEntries(headers) } }
}

/** Each way that a format is sent. */
export const SENT: readonly (readonly [
  way: string,
  format: TriggerFormat,
  send: (pushed: Pushed) => SentDelivery,
])[] = [
  ['Distribution', 'distribution', (pushed) => distribution(pushed)],
  ['Distribution, version 1', 'distribution', (pushed) => distribution(pushed, 1)],
  ['Harbor', 'harbor', (pushed) => harbor(pushed)],
  ['Harbor, CloudEvents', 'cloudevents', (pushed) => harborCloudEvent(pushed)],
  ['Quay', 'quay', quay],
  ['ECR', 'ecr', (pushed) => ecr(pushed)],
  ['Artifactory', 'artifactory', (pushed) => artifactory(pushed)],
  ['Docker Hub', 'dockerhub', dockerHub],
  ['GHCR, registry_package', 'ghcr', (pushed) => ghcr(pushed)],
  ['GHCR, package', 'ghcr', (pushed) => ghcr(pushed, { event: 'package', type: 'container' })],
  ['CloudEvents, structured', 'cloudevents', cloudEvent],
  ['CloudEvents, batched', 'cloudevents', (pushed) => cloudEventBatch(pushed)],
  ['CloudEvents, binary', 'cloudevents', binaryCloudEvent],
]
