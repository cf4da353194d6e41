// Shortcuts: single keys where nobody types, and the dialog that lists them.

import { el } from './dom.js';

const LISTED = [
  ['g then q', 'Query'], ['g then t', 'Tables'], ['g then p', 'Partitions'], ['g then r', 'Quarantine (rejects)'], ['g then h', 'Start'],
  ['/', 'To the filter or the editor of the page'], ['?', 'This list'],
  ['Ctrl Enter, ⌘ Enter', 'Run the query'], ['Esc', 'Cancel the running query; close suggestions'],
  ['Ctrl Space', 'Suggest tables, columns, functions'], ['Tab', 'Take the suggestion'],
  ['Alt ↑, Alt ↓', 'Earlier and later queries of this browser'],
];
const GO = { q: '#/query', t: '#/tables', p: '#/partitions', r: '#/quarantine', h: '#/' };
/** The second key of a pair has to come within this time. */
const PAIR_MS = 1500;

function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Shows the list. */
export function showHelp() {
  if (document.querySelector('dialog[open]')) return;
  const dialog = el('dialog', { 'aria-labelledby': 'keys-title' },
    el('h2', { id: 'keys-title' }, 'Keyboard shortcuts'),
    el('dl.keys', {}, LISTED.map(([keys, what]) => el('div', {}, el('dt', {}, el('kbd', {}, keys)), el('dd', {}, what)))),
    el('form.actions', { method: 'dialog' }, el('button', { autofocus: true }, 'Close')));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** Listens from now on. */
export function listen() {
  let going = 0;
  addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return;
    if (document.querySelector('dialog[open]')) return;
    const paired = Date.now() - going < PAIR_MS;
    going = 0;
    if (paired && GO[event.key]) location.hash = GO[event.key];
    else if (event.key === 'g') going = Date.now();
    else if (event.key === '?') showHelp();
    else if (event.key === '/') document.querySelector('main [data-slash]')?.focus();
    else return;
    event.preventDefault();
  });
}
