/**
 * Goal: what is meant to go through a proxy does, and what is not does not, as other programs on the same machine read the
 * same variables; nothing secret is shown. Method: tables.
 */
import { describe, expect, test } from 'vitest'
import { proxiesOf } from './proxies.ts'

const PROXY = 'http://proxy.corp:3128/'
const isProxied = (url: string, noProxy: string) =>
  proxiesOf({ HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY, NO_PROXY: noProxy }).proxyFor(new URL(url)) !== undefined

describe('a proxy', () => {
  test('is one for each protocol; lower case counts first', () => {
    const proxies = proxiesOf({
      HTTP_PROXY: 'http://upper:1',
      http_proxy: 'http://lower:1',
      HTTPS_PROXY: 'https://tls:2',
    })
    expect(proxies.proxyFor(new URL('http://a.test'))).toBe('http://lower:1/')
    expect(proxies.proxyFor(new URL('https://a.test'))).toBe('https://tls:2/')
    expect(proxiesOf({ HTTP_PROXY: PROXY }).proxyFor(new URL('https://a.test'))).toBeUndefined()
    expect(proxiesOf({}).proxyFor(new URL('http://a.test'))).toBeUndefined()
    expect(proxiesOf({ HTTPS_PROXY: '', NO_PROXY: '' }).shown).toEqual({ noProxy: [], problems: [] })
  })

  test('may be written without http://, and has a user and a password that nobody is shown', () => {
    const proxies = proxiesOf({ HTTPS_PROXY: 'robot:s3cret%40x@proxy.corp:3128', NO_PROXY: 'a.test, b.test' })
    expect(proxies.proxyFor(new URL('https://c.test'))).toBe('http://robot:s3cret%40x@proxy.corp:3128/')
    expect(proxies.shown).toEqual({
      https: 'http://proxy.corp:3128',
      noProxy: ['a.test', 'b.test'],
      problems: [],
    })
  })

  test.each(['socks5://proxy.corp:1080', 'http://', 'http://proxy.corp:99999', 'http://u:50%@proxy.corp'])(
    '%s is none, and that is told without repeating it',
    (text) => {
      const { shown, proxyFor } = proxiesOf({ HTTP_PROXY: text })
      expect(proxyFor(new URL('http://a.test'))).toBeUndefined()
      expect(shown.problems).toEqual(['HTTP_PROXY is no http:// or https:// URL of a proxy; it is not used'])
    },
  )
})

describe('NO_PROXY', () => {
  test.each([
    ['*', 'https://anything.test', false],
    ['*:8443', 'https://anything.test', true],
    ['*:443', 'https://anything.test', false],
    ['quay.io', 'https://quay.io', false],
    ['QUAY.io.', 'https://quay.io', false],
    ['quay.io', 'https://cdn.quay.io', false],
    ['quay.io', 'https://notquay.io', true],
    ['.corp', 'http://registry.corp:5000', false],
    ['.example.com', 'http://example.com', false],
    ['*.example.com', 'http://example.com', true],
    ['*.example.com', 'http://a.b.example.com', false],
    ['registry.corp:5000', 'http://registry.corp:5000', false],
    ['registry.corp:5000', 'http://registry.corp', true],
    ['registry.corp:80', 'http://registry.corp', false],
    ['10.0.0.5', 'http://10.0.0.5:5000', false],
    ['10.0.0.5:5000', 'http://10.0.0.5:5001', true],
    ['10.0.0.0/8', 'http://10.200.0.5:5000', false],
    ['10.0.0.0/8', 'http://11.0.0.5', true],
    ['10.0.0.0/8', 'http://10.corp', true],
    // A name is not looked up: what it means is the proxy's business.
    ['127.0.0.0/8', 'http://localhost', true],
    ['fd00::/8', 'http://[fd00::5]:5000', false],
    ['fd00::5', 'http://[fd00::5]:5000', false],
    ['[fd00::5]:5000', 'http://[fd00::5]:5000', false],
    ['[fd00::5]:5001', 'http://[fd00::5]:5000', true],
    ['a.test,\t b.test  c.test', 'http://c.test', false],
    ['.', 'http://a.test', true],
    ['10.0.0.0/99', 'http://10.0.0.1', true],
  ])('%s, and %s: proxied %s', (noProxy, url, proxied) => {
    expect(isProxied(url, noProxy)).toBe(proxied)
  })
})
