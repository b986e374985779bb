// Buttons and forms: each makes one call, and the events show what came of it.

import {choose as chooseArea} from './flash.js';
import {byId, call, el, fen, Refused} from './tools.js';
import {asText} from './trace.js';

const wrong = (detail, next_step) => new Refused({detail, next_step});

function amountOf(form) {
  const amount = fen(form.elements.amount.value);
  if (!amount) throw wrong('That is no amount.', 'Write it like 68.00.');
  return amount;
}

export function addControls({view, attempt, choose, refresh}) {
  const path = (rest) => `/api/cards/${view.selected}/${rest}`;
  const post = (rest, body = {}) => call('POST', path(rest), body);
  const click = (id, work) => byId(id).addEventListener('click', () => attempt(work));
  const submit = (id, work) => byId(id).addEventListener('submit', (event) => {
    event.preventDefault();
    const button = event.target.querySelector('button[type="submit"]');
    button.setAttribute('aria-busy', 'true');
    attempt(() => work(event.target)).finally(() => button.removeAttribute('aria-busy'));
  });

  fillChoices(view.desk);
  byId('alert').querySelector('button').addEventListener('click', () => { byId('alert').hidden = true; });
  byId('cards').addEventListener('click', (event) => {
    const card = event.target.closest('[data-card]')?.dataset.card;
    if (card) attempt(() => choose(card));
  });

  click('insert', () => post('insert'));
  click('remove', () => post('remove'));
  click('cycle', () => post('power-cycle'));
  click('online', () => post('online'));
  submit('pay', (form) => post('pay', {amount: amountOf(form)}));
  submit('load', (form) => post('load', {amount: amountOf(form)}));
  submit('verify', async (form) => {
    const pin = form.elements.pin.value;
    form.elements.pin.value = '';
    await post('verify', {pin});
  });
  submit('transfer', (form) => {
    const other = view.desk.readers.map((one) => one.card).find((one) => one && one !== view.selected);
    if (!other) throw wrong('The other reader is empty.', 'Insert the card that is to be paid.');
    return post('transfer', {to: other, amount: amountOf(form)});
  });

  addTear(view, path, submit, click);
  addWire(view, path, post, submit, click, attempt);

  submit('create', async (form) => {
    const {profile, seed, endurance} = form.elements;
    const made = await call('POST', '/api/cards', {profile: profile.value, seed: seed.value || '1', endurance: endurance.value ? Number(endurance.value) : null});
    byId('new-card').open = false;
    await choose(made.id);
  });
  submit('snapshot', async (form) => {
    await post('snapshots', form.elements.name.value ? {name: form.elements.name.value} : {});
    form.reset();
  });
  byId('snapshots').addEventListener('click', (event) => {
    const {restore, forget} = event.target.dataset;
    if (restore) attempt(() => post('restore', {name: restore}));
    if (forget) attempt(() => call('DELETE', path(`snapshots/${forget}`)));
  });
  click('clone', async () => choose((await post('clone')).id));
  click('reset', () => post('reset'));
  click('delete', () => confirm(`Remove ${view.selected} and its snapshots for good?`) && call('DELETE', `/api/cards/${view.selected}`));

  const setLatency = () => attempt(() => (byId('chips').value ? call('PUT', path('latency'), {chip: byId('chips').value, kbps: Number(byId('rates').value)}) : call('DELETE', path('latency'))));
  byId('chips').addEventListener('change', setLatency);
  byId('rates').addEventListener('change', setLatency);

  const flash = document.querySelector('.flash');
  const pick = (event) => { if (chooseArea(event.target)) attempt(refresh); };
  flash.addEventListener('click', pick);
  byId('ring').addEventListener('keydown', (event) => { if (['Enter', ' '].includes(event.key)) { event.preventDefault(); pick(event); } });
  flash.addEventListener('change', () => attempt(refresh));
  addTheme();
}

function fillChoices(desk) {
  const option = (value, text = value) => el('option', {value}, text);
  byId('profiles').replaceChildren(...desk.profiles.map((one) => option(one)));
  byId('commands').replaceChildren(option('PAY'), option('', 'exchange number …'), ...desk.tears.commands.filter((one) => one !== 'PAY').sort().map((one) => option(one)));
  byId('chips').replaceChildren(option('', 'none: as fast as it can'), ...desk.chips.map((one) => option(one.chip, one.name)));
  byId('rates').replaceChildren(...desk.kbps.map((one) => option(String(one), `${one} kbit/s`)));
}

function addTear(view, path, submit, click) {
  const form = byId('tear');
  const shape = () => {
    byId('exchange-field').hidden = form.elements.command.value !== '';
    form.querySelectorAll('.of-write').forEach((one) => { one.hidden = form.elements.where.value !== 'write'; });
  };
  form.addEventListener('change', shape);
  shape();
  submit('tear', (form) => {
    const {where, command, exchange, cell, outcome, reinsert_ms} = form.elements;
    const detail = where.value === 'write' ? `:${cell.value}:${outcome.value}` : '';
    return call('PUT', path('tear'), {tear: `${where.value}@${command.value || exchange.value}${detail}`, reinsert_ms: Number(reinsert_ms.value)});
  });
  click('disarm', () => call('DELETE', path('tear')));
  byId('trace').addEventListener('click', (event) => {
    const exchange = event.target.closest('[data-exchange]')?.dataset.exchange;
    if (exchange === undefined) {
      event.target.closest('.hex')?.closest('li').classList.toggle('is-open');
      return;
    }
    form.elements.command.value = '';
    form.elements.exchange.value = exchange;
    shape();
    form.elements.exchange.focus();
  });
}

function addWire(view, path, post, submit, click, attempt) {
  submit('apdu', (form) => post('apdu', {apdu: form.elements.apdu.value}));
  click('copy', async () => {
    await navigator.clipboard.writeText(asText());
    byId('status').textContent = 'The trace is in the clipboard.';
  });
  byId('whole').addEventListener('change', (event) => byId('trace').classList.toggle('is-whole', event.target.checked));
  click('clear', () => call('DELETE', path('trace')));
  byId('replay-file').addEventListener('change', (event) => attempt(async () => {
    const [file] = event.target.files;
    if (!file) return;
    const trace = await file.text();
    event.target.value = '';
    showReplayed(await post('replay', {trace, on_clone: byId('on-clone').checked}));
  }));
}

function showReplayed(done) {
  const box = byId('replayed');
  box.hidden = false;
  box.className = `replayed ${done.difference ? 'is-other' : 'is-same'}`;
  const passed = done.passed_over ? `, ${done.passed_over} with hidden bytes passed over` : '';
  if (!done.difference) {
    box.replaceChildren(`✓ No difference on ${done.card}: ${done.sent} commands sent${passed}.`);
    return;
  }
  const {line, name, what, byte, expected, came} = done.difference;
  const where = byte === null ? what : `${what}, byte ${byte}`;
  box.replaceChildren(el('b', {}, `✂ First difference: line ${line}, ${name}: ${where}`), answerLine('recorded', expected, byte), answerLine('came', came, byte));
}

function answerLine(label, answer, byte) {
  if (!answer) return el('code', {}, `${label}: no answer`);
  const word = `${answer.sw} ${answer.meaning}`;
  if (byte === null) return el('code', {}, `${label}: ${answer.data} ${word}`);
  const at = 2 * byte;
  return el('code', {}, `${label}: ${answer.data.slice(0, at)}`, el('mark', {}, answer.data.slice(at, at + 2)), `${answer.data.slice(at + 2)} ${word}`);
}

function addTheme() {
  const root = document.documentElement;
  const kept = localStorage.getItem('theme');
  if (kept) root.dataset.theme = kept;
  byId('theme').addEventListener('click', () => {
    const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
    localStorage.setItem('theme', root.dataset.theme);
  });
}
