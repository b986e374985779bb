// The live trace: each exchange as A>> and A<<, with its words.

import {byId, el, time} from './tools.js';

const MOST = 400; // shown; the desk keeps more
let entries = [];
let first = null; // of the session that is shown: newer entries come behind it

const kindOf = (entry) => {
  if (entry.error) return 's-lost';
  if (entry.sw === '9000') return 's-ok';
  return /^6[1C]/.test(entry.sw) ? 's-more' : 's-no';
};
const SIGNS = {'s-ok': '✓', 's-more': '…', 's-no': '!', 's-lost': '✂'};
const BY = {console: 'by hand', desk: 'desk', replay: 'replay', pcsc: 'PC/SC'};

function row(entry, isNew) {
  if (entry.event === 'reset') {
    return el('li', {class: `s-reset ${isNew ? 'is-new' : ''}`}, el('div', {class: 'title'}, el('b', {}, 'Power on'), el('span', {class: 'wrote'}, `recovery wrote ${entry.cells.length} cells`), el('span', {}, time(entry.at_ms))),
      el('div', {class: 'hex'}, `ATR ${entry.atr}`));
  }
  const kind = kindOf(entry);
  const data = entry.received.slice(0, entry.received.lastIndexOf('('));
  const took = entry.model_ms === undefined ? `${entry.ms} ms` : `${entry.model_ms} ms as a real card`;
  const word = entry.sw ? `${entry.sw} ${entry.meaning}` : `no answer: ${entry.meaning}`;
  const title = el('div', {class: 'title'},
    el('button', {type: 'button', class: 'n', 'data-exchange': entry.n, title: 'Tear at this exchange', 'aria-label': `Exchange ${entry.n}: tear there`}, `#${entry.n}`),
    el('b', {}, entry.name), el('span', {}, BY[entry.by] ?? entry.by),
    entry.cells.length ? el('span', {class: 'wrote', title: `cells ${entry.cells.join(', ')}`}, `${entry.cells.length} cells`) : null,
    el('span', {}, time(entry.at_ms)));
  return el('li', {class: `${kind} ${isNew ? 'is-new' : ''}`}, title, el('div', {class: 'hex out'}, entry.sent),
    data.trim() === 'A<<' ? null : el('div', {class: 'hex in'}, data),
    el('div', {class: 'sw'}, `${data.trim() === 'A<<' ? 'A<< ' : ''}${SIGNS[kind]} ${word} `, el('span', {class: 'took'}, `(${took})`)));
}

const atEnd = (list) => list.scrollHeight - list.scrollTop - list.clientHeight < 60;

export function showTrace(all) {
  entries = all.slice(-MOST);
  first = entries.length ? entries[0].i : null;
  const list = byId('trace');
  list.replaceChildren(...entries.map((one) => row(one, false)));
  if (!entries.length) list.append(el('li', {class: 'empty'}, 'Nothing yet. Insert the card and send something: PAY above, or an APDU below.'));
  list.scrollTop = list.scrollHeight;
}

export function addEntry(entry) {
  if (entries.length && entry.i <= entries.at(-1).i) return;
  const list = byId('trace');
  const follow = atEnd(list);
  if (!entries.length) list.replaceChildren();
  entries.push(entry);
  list.append(row(entry, true));
  if (entries.length > MOST) {
    entries.shift();
    list.firstElementChild.remove();
  }
  if (follow) list.scrollTop = list.scrollHeight;
}

/** The trace as it is shown, for the clipboard. */
export const asText = () => entries.map((one) => (one.event === 'reset' ? `--- reset, ATR ${one.atr}` : `${one.sent}\n${one.received}`)).join('\n');

export const newest = () => entries.at(-1)?.i ?? first ?? 0;
