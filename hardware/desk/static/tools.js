// Elements, money, and calls to the desk. Text only ever becomes a text node: nothing that a card says is markup.

const token = document.querySelector('meta[name="desk-token"]').content;

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** An element: el('p', {class: 'hint'}, 'text', child). */
export function el(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** Likewise of an SVG picture. */
export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
}

function dress(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter((one) => one !== null && one !== undefined));
  return node;
}

/** Fen as 1,234.56. */
export function money(fen) {
  const whole = Math.trunc(fen / 100).toLocaleString('en');
  return `${whole}.${String(fen % 100).padStart(2, '0')}`;
}

/** Fen out of 68 or 68.00; null for anything else. No float is involved. */
export function fen(text) {
  const found = /^\s*(\d{1,12})(?:\.(\d{1,2}))?\s*$/.exec(text);
  return found ? Number(found[1]) * 100 + Number((found[2] ?? '').padEnd(2, '0')) : null;
}

export const time = (ms) => new Date(ms).toISOString().slice(11, 23);

/** A refusal of the desk: its problem document. */
export class Refused extends Error {
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/** One call; its JSON, or null when there is none. Throws Refused. */
export async function call(method, path, body) {
  const headers = {Accept: 'application/json'};
  if (method !== 'GET') headers['X-Ecny-Desk-Token'] = token;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(path, {method, headers, body: body === undefined ? undefined : JSON.stringify(body)});
  } catch {
    throw new Refused({detail: 'The desk does not answer.', next_step: 'Is `ecny card desk` still running?', code: 'unreachable'});
  }
  if (answer.status === 204) return null;
  const told = await answer.json();
  if (!answer.ok) throw new Refused(told);
  return told;
}
