import Fastify from 'fastify'
import { fork } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import http from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { pino } from 'pino'
import { ImageStore, registryPlugin } from '/work/main/packages/registry/dist/index.js'
const MIB = Number(process.env.MIB ?? 600)
if (process.argv[2] === 'client') {
  const port = Number(process.argv[3]); const buf = Buffer.alloc(65536, 7); const h = createHash('sha256')
  const digest = process.argv[4]
  const q = (method, path, headers, body) => new Promise((res, rej) => { const r = http.request({port, host:'127.0.0.1', method, path, headers}, a => { a.resume(); a.on('end', () => res(a)) }); r.on('error', rej); body ? body(r) : r.end() })
  const a = await q('POST', '/v2/app/blobs/uploads/')
  const loc = a.headers.location
  const t = Date.now()
  await q('PATCH', loc, {}, async r => { for (let i = 0; i < MIB*16; i++) if (!r.write(buf)) await new Promise(d => r.once('drain', d)); r.end() })
  const f = await q('PUT', `${loc}?digest=${digest}`, {'content-length': 0})
  console.log('client', f.statusCode, (MIB/((Date.now()-t)/1000)).toFixed(0), 'MiB/s')
  process.exit(0)
}
const objs = new Map()
const objects = { async stat(k){const o=objs.get(k);return o&&{length:o.length,etag:'',modifiedAtMs:0}}, async read(k){const o=objs.get(k);if(!o)return;return{length:o.length,etag:'',modifiedAtMs:0,body:(async function*(){yield o})()}}, async put(k,b,p){if(p?.ifAbsent&&objs.has(k))return{kind:'precondition-failed'};objs.set(k,b);return{kind:'stored',etag:''}}, async createWriter(){return{async write(){ if (process.env.SLOW) await new Promise(r=>setTimeout(r,1)) },async complete(){},async abort(){}}}, async delete(k){objs.delete(k)}, async list(){return{keys:[]}} }
const images = new ImageStore({objects, log: pino({level:'silent'}), nowMs: Date.now, newId: randomUUID})
const s = Fastify(); await s.register(registryPlugin, {backend: images}); await s.listen({port:0,host:'127.0.0.1'})
const h = createHash('sha256'); const buf = Buffer.alloc(65536,7); for (let i=0;i<MIB*16;i++) h.update(buf)
const digest = 'sha256:'+h.digest('hex')
const before = process.memoryUsage().rss/2**20; let max=0
const delay = monitorEventLoopDelay({resolution:5}); delay.enable()
const timer = setInterval(()=>{max=Math.max(max,process.memoryUsage().rss/2**20)},20)
const cpu = process.cpuUsage()
const c = fork('/work/main/packages/registry/rss.tmp.mjs',['client',s.server.address().port,digest])
await new Promise(r=>c.on('exit',r)); clearInterval(timer)
const u=process.cpuUsage(cpu)
console.log({before:before.toFixed(0),max:max.toFixed(0),loopP99ms:(delay.percentile(99)/1e6).toFixed(1),loopMaxMs:(delay.max/1e6).toFixed(1),cpuS:((u.user+u.system)/1e6).toFixed(2)})
await s.close(); process.exit(0)
