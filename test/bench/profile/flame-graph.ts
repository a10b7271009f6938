/** A tree of calls as a picture: who called whom from above, each as wide as its share of the whole. Pure. */
import { type Frame, roomOf, totalOf } from './call-tree.ts'

const WIDTH = 1600
const ROW_HEIGHT = 18
/** Narrower frames cannot be seen, and there are thousands of them. */
const WIDTH_MIN = 0.5
const CHARACTER_WIDTH = 6.5
const COLOURS = [
  '#f4a582',
  '#fddbc7',
  '#92c5de',
  '#d1e5f0',
  '#a6dba0',
  '#d9f0d3',
  '#c2a5cf',
  '#e7d4e8',
  '#ffe08a',
  '#d8c3a5',
]

export function flameGraph(root: Frame, amount: (value: number) => string): string {
  const whole = totalOf(root)
  const boxes: string[] = []
  let depthMax = 0
  const draw = (frame: Frame, left: number, depth: number) => {
    const total = totalOf(frame)
    const width = (total / whole) * WIDTH
    if (!(width >= WIDTH_MIN)) return
    depthMax = Math.max(depthMax, depth)
    const percent = ((100 * total) / whole).toFixed(1)
    const told = `${frame.name} ${frame.where}\n${percent} %, ${amount(total)}; itself ${amount(frame.self)}`
    const room = Math.floor((width - 6) / CHARACTER_WIDTH)
    const label = room < 3 ? '' : escaped(frame.name.slice(0, room))
    boxes.push(
      `<g transform="translate(${left.toFixed(1)} ${depth * ROW_HEIGHT})"><title>${escaped(told)}</title>` +
        `<rect width="${width.toFixed(1)}" height="${ROW_HEIGHT - 1}" fill="${colourOf(frame.where)}"/>` +
        `<text x="3" y="13">${label}</text></g>`,
    )
    let childLeft = left
    for (const child of [...frame.children.values()].toSorted((a, b) => totalOf(b) - totalOf(a))) {
      draw(child, childLeft, depth + 1)
      childLeft += (totalOf(child) / whole) * WIDTH
    }
  }
  draw(root, 0, 0)
  const height = (depthMax + 1) * ROW_HEIGHT
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`,
    ' font-family="monospace" font-size="11">',
    ...boxes,
    '</svg>\n',
  ].join('\n')
}

/** The same for all of one package; there are more packages than colours. */
function colourOf(where: string): string {
  let sum = 0
  for (const character of roomOf(where)) sum = (sum * 31 + character.charCodeAt(0)) % 1_000_003
  return COLOURS[sum % COLOURS.length]!
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
