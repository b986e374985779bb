// The page: what it shows follows from the desk's own answers; events say when to ask again.

import {addControls} from './controls.js';
import {showFace} from './face.js';
import {markFresh, showFlash} from './flash.js';
import {showPurse, showSnapshots} from './purse.js';
import {byId, call, el, money, Refused} from './tools.js';
import {addEntry, showTrace} from './trace.js';

const KINDS = ['created', 'deleted', 'armed', 'latency', 'inserted', 'removed', 'powered', 'unpowered', 'dead', 'exchange', 'torn', 'answer-lost', 'reader', 'snapshot', 'restored', 'forgotten', 'reset', 'trace-cleared'];
const view = {desk: null, card: null, selected: null, ahead: 0};

const say = (text) => { byId('status').textContent = text; };

function complain(error) {
  const problem = error instanceof Refused ? error.problem : {detail: String(error), next_step: ''};
  const box = byId('alert');
  box.querySelector('p').replaceChildren(`${problem.detail} `, el('span', {class: 'next'}, problem.next_step ?? ''));
  box.hidden = false;
}

/** Do it, and show what goes wrong. */
async function attempt(work) {
  byId('alert').hidden = true;
  try {
    return await work();
  } catch (error) {
    complain(error);
    return undefined;
  }
}

// What is shown

function showTray() {
  const {cards, readers} = view.desk;
  byId('readers').replaceChildren(...readers.map((one) => el('li', {class: `reader ${one.card ? 'has-card' : ''}`}, el('span', {class: 'slot', 'aria-hidden': 'true'}),
    el('span', {}, el('b', {}, one.card ?? 'empty'), el('span', {class: 'via'}, `reader ${one.reader} · ${{vpcd: 'PC/SC sees it', 'in process': 'in this process', empty: one.looks_for_vpcd ? 'PC/SC, when vpcd is there' : 'in this process'}[one.via]}`)))));
  const held = document.activeElement?.dataset?.card;
  byId('cards').replaceChildren(...cards.map((one) => el('li', {}, el('button', {type: 'button', 'data-card': one.id, 'aria-current': String(one.id === view.selected)},
    el('span', {class: 'name'}, one.id), el('span', {class: 'money'}, one.face && one.face.lifecycle !== 'blank' ? money(one.face.balance) : '–'),
    el('span', {class: 'place'}, one.reader === null ? 'on the desk' : `in reader ${one.reader}`, one.plan ? el('b', {}, ` · ✂ ${one.plan}`) : null)))));
  if (held) document.querySelector(`[data-card="${held}"]`)?.focus({preventScroll: true});
}

function showCard() {
  const {card} = view;
  showFace(card);
  showPurse(card);
  const inside = card.reader !== null;
  byId('insert').disabled = inside;
  for (const id of ['remove', 'cycle', 'online']) byId(id).disabled = !inside;
  for (const id of ['pay', 'transfer', 'load', 'verify']) byId(id).querySelector('button').disabled = !inside;
  byId('armed').textContent = card.plan ? `✂ ${card.plan} waits` : 'no tear is armed';
  byId('armed').classList.toggle('is-armed', Boolean(card.plan));
  byId('disarm').disabled = !card.plan;
  byId('chips').value = card.latency?.chip ?? '';
  byId('rates').value = String(card.latency?.kbps ?? 106);
  byId('rates').disabled = !card.latency;
  byId('chip-source').textContent = card.latency ? view.desk.chips.find((one) => one.chip === card.latency.chip).source : 'The emulator answers as fast as it can.';
  byId('download').href = `/api/cards/${card.id}/trace.jsonl`;
  byId('download').download = `${card.id}.jsonl`;
}

// Asking again: one round at a time, and one more when something happened meanwhile.

let asking = false;
let again = false;

async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  do {
    again = false;
    view.desk = await call('GET', '/api/desk');
    if (!view.desk.cards.some((one) => one.id === view.selected)) await select(view.desk.cards[0]?.id);
    showTray();
    if (view.selected) {
      const [card, flash] = await Promise.all([call('GET', `/api/cards/${view.selected}`), call('GET', `/api/cards/${view.selected}/flash`)]);
      view.card = card;
      showCard();
      showFlash(card.id, flash);
    }
  } while (again);
  asking = false;
}

let soon = null;
const refreshSoon = () => { soon ??= setTimeout(() => { soon = null; refresh().catch(complain).finally(() => { asking = false; }); }, 40); };

async function select(id) {
  view.selected = id;
  byId('replayed').hidden = true;
  if (!id) return;
  markFresh([]);
  const [trace, kept] = await Promise.all([call('GET', `/api/cards/${id}/trace`), call('GET', `/api/cards/${id}/snapshots`)]);
  showTrace(trace.entries);
  showSnapshots(kept.snapshots);
}

async function choose(id) {
  await select(id);
  await refresh();
}

// Events

const SPOKEN = {
  inserted: (e) => `${e.card} is in reader ${e.reader}.`, removed: (e) => `${e.card} is out.`, torn: (e) => `${e.card}: ${e.meaning}.`,
  exchange: (e) => `${e.entry.name}: ${e.entry.meaning}.`, restored: (e) => `${e.card} is as it was at ${e.snapshot}.`, reset: (e) => `${e.card} is as its seed makes it.`,
  created: (e) => `${e.card} lies on the desk.`, snapshot: (e) => `Kept as ${e.snapshot.name}.`, dead: (e) => `${e.card} does not start any more.`,
};

function heard(kind, event) {
  const mine = event.card === view.selected;
  if (event.entry && mine) {
    addEntry(event.entry);
    markFresh(event.entry.cells);
  }
  if (mine && ['snapshot', 'forgotten'].includes(kind)) call('GET', `/api/cards/${view.selected}/snapshots`).then((kept) => showSnapshots(kept.snapshots), complain);
  if (mine && kind === 'trace-cleared') showTrace([]);
  if (SPOKEN[kind]) say(SPOKEN[kind](event));
  refreshSoon();
}

function listen(position) {
  const source = new EventSource(`/api/events?after=${encodeURIComponent(position)}`);
  let last = position;
  const live = (text, state) => { byId('live-text').textContent = text; byId('live').className = `live ${state}`; };
  source.onopen = () => live('live', 'is-on');
  source.onerror = () => {
    live('not connected', 'is-off');
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000, last); // refused: it does not try again by itself
  };
  for (const kind of KINDS) source.addEventListener(kind, (message) => { last = message.lastEventId; heard(kind, JSON.parse(message.data)); });
  source.addEventListener('gap', (message) => { last = message.lastEventId; attempt(() => choose(view.selected)); });
}

function tick() {
  byId('clock').textContent = `${new Date(Date.now() + view.ahead).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

async function begin() {
  view.desk = await call('GET', '/api/desk');
  view.ahead = view.desk.now_ms - Date.now();
  setInterval(tick, 1000);
  tick();
  const inside = view.desk.readers.find((one) => one.card)?.card;
  addControls({view, attempt, choose, refresh});
  await choose(inside ?? view.desk.cards[0]?.id);
  listen(view.desk.event);
  document.body.dataset.ready = 'true';
}

attempt(begin);
