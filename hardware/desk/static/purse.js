// Slots, Requests, totals and limits of the purse, and its snapshots.

import {byId, el, money, time} from './tools.js';

const tag = (state) => el('span', {class: `tag t-${state}`}, state);
const code = (hex) => el('code', {title: hex}, hex.slice(0, 8));

function rows(table, all, cells, none) {
  const used = all.filter((one) => one.state !== 'free');
  const free = all.length - used.length;
  const body = used.map((one) => el('tr', {}, ...cells(one)));
  body.push(el('tr', {class: 'is-free'}, el('td', {colspan: 5}, used.length ? `${free} free` : `${none}: all ${free} are free`)));
  byId(table).tBodies[0].replaceChildren(...body);
}

export function showPurse(card) {
  const state = card.state;
  const none = {slots: [], table: []};
  const {slots, table} = state ?? none;
  rows('slots', slots, (one) => [el('td', {}, String(one.index)), el('td', {}, tag(one.state)), el('td', {}, String(one.n)), el('td', {class: 'num'}, money(one.amount)), el('td', {}, code(one.payee))], 'no payment waits');
  rows('requests', table, (one) => [el('td', {}, String(one.index)), el('td', {}, tag(one.state)), el('td', {}, String(one.k)), el('td', {class: 'num'}, money(one.amount)), el('td', {}, code(one.request_hash))], 'nothing is asked for');
  const facts = [];
  const add = (name, value) => facts.push(el('dt', {}, name), el('dd', {}, value));
  if (state) {
    add('life cycle', state.lifecycle);
    add('received', money(state.total_in));
    add('paid', money(state.total_out));
    add('came back', money(state.total_reversed));
    add('next payment, next Request', `${state.next_n}, ${state.next_k}`);
    add('PIN tries', String(state.pin_tries));
    add('paid without PIN', money(state.unverified));
    if (state.policy) {
      const limits = state.policy;
      add('one payment at most', money(limits.transfer_limit));
      add('between two grants', `${money(state.total_out - state.out_acked)} of ${money(limits.offline_total)}`);
      add('payments between two grants', `${state.payments_since_grant} of ${limits.offline_count}`);
      add('PIN above', money(limits.pin_threshold));
      add('payee verified above', money(limits.payee_threshold));
      add('spends', limits.mode);
    }
  }
  byId('totals').replaceChildren(...facts);
}

export function showSnapshots(all) {
  const lines = all.map((one) => el('li', {}, el('span', {}, one.name, el('small', {}, `${time(one.at_ms).slice(0, 8)} · RMB ${one.balance === null ? '–' : money(one.balance)}`)),
    el('button', {type: 'button', 'data-restore': one.name}, 'Restore'), el('button', {type: 'button', class: 'quiet', 'data-forget': one.name, 'aria-label': `Delete snapshot ${one.name}`}, '✕')));
  byId('snapshots').replaceChildren(...lines);
}
