// The flash: the journal as the ring that it is, every other area as a strip of its cells.

import {byId, call, el, svg} from './tools.js';

const CENTRE = 165;
const STATES = {newest: 'in force', older: 'older', erased: 'erased', broken: 'broken'};
const GLYPHS = {valid: '●', old: '○', torn: '╱', unreadable: '?', worn: '✕', empty: '·', header: '◆'};
let shown = null; // the area that is looked into
let fresh = new Set(); // cells of the newest exchange
let card = null;

export const colourByWear = () => document.querySelector('input[name="colour"]:checked').value === 'wear';

/** Cells that the newest exchange programmed are marked until the next one. */
export function markFresh(cells) {
  fresh = new Set(cells);
}

function wearClass(wear, most) {
  return wear === 0 ? 'w0' : `w${Math.min(5, 1 + Math.floor((4 * wear) / Math.max(1, most)))}`;
}

function ringPicture(flash, groups, most) {
  const picture = svg('svg', {viewBox: '0 0 330 330', role: 'group', 'aria-label': 'Journal: a ring of eight positions'});
  flash.ring.forEach((at, index) => {
    const angle = (index / flash.ring.length) * 2 * Math.PI - Math.PI / 2;
    const [x, y] = [CENTRE + 128 * Math.cos(angle), CENTRE + 128 * Math.sin(angle)];
    const cells = groups.get(`ring ${index}`);
    const words = `Position ${index}: ${STATES[at.state]}${at.sequence === null ? '' : `, number ${at.sequence}`}; cells ${cells.map((one) => one.kind).join(', ')}`;
    const group = svg('g', {class: `position is-${at.state} ${shown === `ring ${index}` ? 'is-shown' : ''}`, tabindex: '0', role: 'button', 'aria-label': words, 'data-area': `ring ${index}`},
      svg('title', {}, words), svg('rect', {class: 'hit', x: x - 36, y: y - 33, width: 72, height: 66, rx: 12}),
      svg('text', {class: 'seq', x, y: y - 19}, at.sequence === null ? '–' : String(at.sequence)));
    cells.forEach((one, part) => {
      const left = x - (cells.length * 20) / 2 + part * 20 + 1;
      const look = `c k-${one.kind} ${colourByWear() ? wearClass(one.wear, most) : ''} ${fresh.has(one.cell) ? 'is-fresh' : ''}`;
      group.append(svg('rect', {class: look, x: left, y: y - 9, width: 18, height: 18, rx: part === cells.length - 1 ? 9 : 4}),
        svg('text', {class: `g ${look.replace('c ', '').replace('is-fresh', '')}`, x: left + 9, y: y + 0.5}, colourByWear() ? String(one.wear) : GLYPHS[one.kind]));
    });
    group.append(svg('text', {class: 'state', x, y: y + 21}, STATES[at.state]));
    picture.append(group);
  });
  const newest = flash.ring.find((at) => at.state === 'newest');
  const left = flash.left_in_ring === null ? 'endurance: without end' : `${flash.left_in_ring} programmings left`;
  picture.append(svg('text', {class: 'hub', x: CENTRE, y: CENTRE - 4}, newest ? `№ ${newest.sequence}` : 'no state'),
    svg('text', {class: 'hub-2', x: CENTRE, y: CENTRE + 16}, newest ? 'state record in force' : 'this card is dead'),
    svg('text', {class: 'hub-2', x: CENTRE, y: CENTRE + 33}, left));
  return picture;
}

const HEADINGS = [
  ['Card', (area) => ['header', 'factory', 'key'].includes(area)],
  ['Objects, two banks each', (area) => /^(authority|operator|purse|policy|pin|audit)/.test(area)],
  ['Voucher slots', (area) => area.startsWith('slot ')],
  ['Requests', (area) => area.startsWith('request ')],
  ['Answers', (area) => area.startsWith('answer ')],
];

function strip(area, cells, most) {
  const kinds = [...new Set(cells.map((one) => one.kind))].join(', ');
  const worn = Math.max(...cells.map((one) => one.wear));
  const marks = cells.map((one) => el('span', {class: `cell k-${one.kind} ${wearClass(one.wear, most)} ${fresh.has(one.cell) ? 'is-fresh' : ''}`, 'data-wear': one.wear}));
  const words = `${area.replace('_', ' ')}: ${kinds}; programmed ${worn} times`;
  return el('button', {type: 'button', class: 'area', 'data-area': area, 'aria-label': words, title: words, 'aria-expanded': String(shown === area)},
    el('span', {class: 'label'}, area.replace('_', ' ').replace(' certificate', '')), el('span', {class: 'strip', 'aria-hidden': 'true'}, ...marks));
}

export function showFlash(cardId, flash) {
  if (card !== cardId) shown = null;
  card = cardId;
  const held = document.activeElement?.dataset?.area;
  const groups = new Map();
  for (const one of flash.cells) groups.set(one.area, [...(groups.get(one.area) ?? []), one]);
  const most = Math.max(...flash.cells.map((one) => one.wear));
  byId('ring').replaceChildren(ringPicture(flash, groups, most));
  const parts = ([title, belongs]) => [el('h3', {}, title), ...[...groups.keys()].filter(belongs).map((area) => strip(area, groups.get(area), most))];
  byId('objects').replaceChildren(...HEADINGS.slice(0, 2).flatMap(parts));
  byId('areas').replaceChildren(...HEADINGS.slice(2).flatMap(parts));
  byId('areas').closest('.flash').classList.toggle('by-wear', colourByWear());
  if (held) document.querySelector(`[data-area="${held}"]`)?.focus({preventScroll: true});
  if (shown) look(groups.get(shown) ?? []);
  else byId('look').replaceChildren();
}

/** Which area was clicked or entered; the same again closes it. */
export function choose(target) {
  const area = target.closest('[data-area]')?.dataset.area;
  if (area === undefined) return false;
  shown = shown === area ? null : area;
  return true;
}

async function look(cells) {
  const area = shown;
  const found = await Promise.all(cells.map((one) => call('GET', `/api/cards/${card}/flash/${one.cell}`)));
  if (area !== shown) return;
  byId('look').replaceChildren(el('h3', {}, area.replace('_', ' ')), el('div', {class: 'cells'}, ...found.map(inside)));
}

function inside(one) {
  const rest = one.left === null ? '' : `, ${one.left} left`;
  const parts = [el('p', {}, el('span', {class: `cell k-${one.kind}`, 'aria-hidden': 'true'}), el('span', {}, `cell ${one.cell} · ${one.part}: `, el('b', {}, one.kind), `, programmed ${one.wear}×${rest}`))];
  if (one.secret) parts.push(el('p', {class: 'secret'}, 'holds a secret: its bytes are not shown'));
  else parts.push(el('pre', {}, dump(one.data)));
  one.candidates.forEach((data, at) => parts.push(el('p', {class: 'hint'}, `it may also read as ${at + 1} of ${one.candidates.length}:`), el('pre', {}, dump(data))));
  return el('div', {class: 'one'}, ...parts);
}

const dump = (hex) => (hex.match(/.{1,32}/g) ?? []).map((row, at) => `${(at * 16).toString(16).padStart(2, '0')}  ${row.match(/../g).join(' ')}`).join('\n');
