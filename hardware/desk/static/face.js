// The card's face: what an e-ink display shows with power and without.

import {byId, el, money, svg} from './tools.js';

const TITLES = {'hk-visitor': 'Visitor card', 'merchant-sam': 'Merchant’s SAM', blank: 'Blank card'};
const AS_OF = {
  now: 'The card has power.',
  'power-off': 'No power: the display keeps what it showed last.',
  undecided: 'Torn in a write: the next power-up decides what counts.',
  never: 'This card has never had power.',
  dead: 'This card does not start any more.',
};

function waves() {
  const paths = ['M8 11a7 7 0 0 1 0 10', 'M13 8a12 12 0 0 1 0 16', 'M18 5a17 17 0 0 1 0 22'];
  return svg('svg', {class: 'waves', viewBox: '0 0 30 32', 'aria-hidden': 'true'}, ...paths.map((d) => svg('path', {d})));
}

function ink(card) {
  const face = card.face;
  if (!face || face.lifecycle === 'blank') return [el('p', {class: 'balance'}, '– –'), el('p', {}, 'Blank: personalise it over PC/SC with ecny card personalise.')];
  const {offline, last} = face;
  const can = offline.can ? el('p', {class: 'can'}, el('span', {}, '✓ pays offline'), ` up to RMB ${money(offline.up_to)}`)
    : el('p', {class: 'can'}, el('span', {}, '✗ no payment'), el('b', {class: 'why'}, offline.why.join('; ')));
  const paid = last ? `last −${money(last.amount)} · no. ${last.n} · ${last.state}` : 'no payment yet';
  return [el('p', {class: 'balance'}, el('small', {}, 'RMB'), money(face.balance)), el('div', {}, can, el('p', {}, paid))];
}

export function showFace(card) {
  const kind = card.profile === 'merchant-sam' ? 'is-sam' : card.face?.lifecycle === 'blank' ? 'is-blank' : '';
  const stale = card.as_of === 'undecided' || card.as_of === 'dead' ? 'is-stale' : '';
  const words = card.face ? `${card.id}: ${card.face.lifecycle}, balance RMB ${money(card.face.balance)}, ${card.face.offline.can ? 'can pay offline' : 'cannot pay'}` : card.id;
  byId('face').replaceChildren(el('div', {class: `face ${kind} ${card.reader === null ? '' : 'is-in'}`, role: 'group', 'aria-label': words},
    el('div', {class: 'top'}, el('span', {}, el('b', {}, TITLES[card.profile] ?? card.profile), 'e-CNY · TEST MONEY'), waves()),
    el('span', {class: 'chip', 'aria-hidden': 'true'}),
    el('div', {class: `eink ${stale}`}, ...ink(card)),
    el('div', {class: 'id'}, el('span', {}, card.face?.name ?? '········'), el('span', {}, `seed ${card.seed}`))));
  byId('as-of').textContent = AS_OF[card.as_of] ?? '';
  byId('held-title').textContent = card.id;
}
