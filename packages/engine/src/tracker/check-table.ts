/** Broken bookkeeping is a bug: what holds after every step of the tracker's table, in full. For tests. */
import { assert } from '@shoal/core'
import type { HandoutRule } from '../policy/handout.ts'
import type { Member, TrackerSwarm, Zone } from './swarm.ts'

export function checkSwarm(swarm: TrackerSwarm, rule: HandoutRule): void {
  const members = swarm.members.items
  assert(members.length > 0, `swarm ${swarm.infoHash} is not empty`)
  assert(
    members.length === swarm.standards.size + sum(swarm.zones.items, (zone) => zone.members.size),
    'a member is in one zone or is a standard client',
  )
  assert(
    count(members, ({ state }) => state === 'seeding') === swarm.completeCount,
    'the complete are counted',
  )
  for (const member of members) checkMember(member)
  for (const zone of swarm.zones.items) checkZone(swarm, zone, rule)
  checkSeeder(swarm, rule)
  for (const member of swarm.lackOutside) assert(members.includes(member), 'nobody who left is on a list')
}

function checkMember(member: Member): void {
  const { swarm, agent, zone, links } = member
  assert((agent === undefined) === (zone === undefined), 'agents have zones, standard clients have none')
  assert(agent === undefined || agent.memberships.get(swarm) === member, 'an agent knows of its memberships')
  assert(zone === undefined || zone.members.has(member), 'a member is in its zone')
  assert(new Set(links).size === links.length, 'two members are linked once')
  for (const other of links)
    assert(other !== member && other.links.includes(member), 'neighbours are each other’s neighbours')
  assert(
    count(links, (other) => member.isOutside(other)) === member.outsideCount,
    'links outside are counted',
  )
  assert(count(links, ({ state }) => state === 'seeding') === member.sourceCount, 'sources are counted')
}

function checkZone(swarm: TrackerSwarm, zone: Zone, rule: HandoutRule): void {
  const members = zone.members.items
  const leechers = members.filter(({ state }) => state === 'leeching')
  assert(members.length > 0, 'a zone is not empty')
  assert(
    leechers.length === zone.leechers.size && leechers.every((member) => zone.leechers.has(member)),
    'leechers are known',
  )
  const lists = [
    [zone.lonely, (member: Member) => member.isLeecher && member.insideCount < member.neighboursAim],
    [
      zone.waiting,
      (member: Member) => member.isLeecher && !member.hasSeeder && member.sourceCount < rule.sourcesEnough,
    ],
    [zone.seederHolders, (member: Member) => member.hasSeeder],
  ] as const
  for (const [list, belongs] of lists)
    assert(
      list.size === count(members, belongs) &&
        members.every((member) => list.has(member) === belongs(member)),
      'who lacks something is on the list of those',
    )
  checkImporters(swarm, zone, rule)
}

function checkImporters(swarm: TrackerSwarm, zone: Zone, rule: HandoutRule): void {
  const held = zone.importers.flatMap(({ remainders }) => remainders).toSorted((a, b) => a - b)
  const isImporting = swarm.zones.size > 1 && zone.leechers.size > 0
  const all = Array.from({ length: isImporting ? rule.importersPerZone : 0 }, (_, remainder) => remainder)
  assert(held.join() === all.join(), 'every remainder is held once in a zone that imports')
  for (const member of zone.members.items) {
    const { isImporter, importsTold, remainders } = member
    assert(isImporter === zone.importers.includes(member), 'importers are known')
    assert(!isImporter || member.isLeecher, 'an importer leeches')
    assert((importsTold?.remainders ?? []).join() === remainders.join(), 'who has a share was told of it')
    const lacksOutside = isImporter && member.outsideCount < rule.outsideNeighboursAim
    assert(swarm.lackOutside.has(member) === lacksOutside, 'importers that lack neighbours are known')
  }
}

function checkSeeder(swarm: TrackerSwarm, rule: HandoutRule): void {
  const zones = swarm.zones.items
  assert(
    sum(zones, (zone) => zone.leechers.size) === swarm.leecherCount &&
      sum(zones, (zone) => zone.seederHolders.size) === swarm.seederCount &&
      count(zones, (zone) => zone.seederHolders.size > 0) === swarm.zonesWithSeeder,
    'the seeder’s neighbours are counted',
  )
  for (const zone of zones)
    for (const member of zone.seederHolders) assert(member.isLeecher, 'who has the seeder leeches')
  // A zone that comes when all places are taken gets one all the same.
  const late = Math.max(0, swarm.zonesWithSeeder - 1)
  assert(swarm.seederCount <= rule.seederNeighboursMax + late, 'the seeder is given to few at a time')
  assert(swarm.zonesWithSeeder <= rule.seederNeighboursMax, 'zones have places as far as there are any')
}

function count<Item>(items: readonly Item[], belongs: (item: Item) => boolean): number {
  return items.filter(belongs).length
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}
