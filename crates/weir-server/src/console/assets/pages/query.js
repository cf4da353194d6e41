// The editor of SQL and its answers. The query stands in the address: a link shares it.

import * as api from '../api.js';
import { Words } from '../completion.js';
import { button, copy, el, errorBox, fill, href } from '../dom.js';
import { editor } from '../editor.js';
import { moment, plural, span } from '../format.js';
import * as history from '../history.js';
import { results } from '../results.js';

/** What was typed last, while one looks at other pages. */
let draft = '';

export const title = () => ['Query'];

export async function show(main, { params, signal }) {
  const words = new Words();
  let running = null;
  let older = -1;
  const out = el('section.out', { 'aria-label': 'Answer' });
  const past = el('div.past');
  const state = el('span.soft', { role: 'status' });

  const run = async () => {
    const sql = field.text.trim();
    if (!sql || running) return;
    const abort = new AbortController();
    running = abort;
    signal.addEventListener('abort', () => abort.abort(), { once: true });
    const began = performance.now();
    history.note(sql);
    older = -1;
    // The address follows without showing the page anew; going back gives the query before.
    const address = href(['query'], { sql });
    if (location.hash !== address) window.history.pushState(null, '', address);
    runButton.disabled = true;
    cancel.hidden = false;
    state.textContent = '';
    const clock = setInterval(() => { state.textContent = 'running for ' + span(performance.now() - began); }, 200);
    try {
      const answer = await api.query(sql, { signal: abort.signal });
      fill(out, results({ answer, text: field.text, tookMs: performance.now() - began, point: field.point }));
      state.textContent = answer.resultTable ? plural(answer.resultTable.rows.length, 'row') : 'failed';
    } catch (error) {
      if (signal.aborted) return;
      if (error.name === 'AbortError') {
        fill(out, el('p.note', {}, 'Cancelled after ' + span(performance.now() - began) + ': the node was told and stops.'));
        state.textContent = 'cancelled';
      } else {
        fill(out, errorBox(error, run));
        state.textContent = 'failed';
      }
    } finally {
      clearInterval(clock);
      running = null;
      runButton.disabled = false;
      cancel.hidden = true;
      if (!signal.aborted) drawPast();
    }
  };
  const stop = () => running?.abort();
  const step = by => {
    const list = history.list();
    const next = Math.max(-1, Math.min(older + by, list.length - 1));
    if (next === older) return;
    if (older === -1) draft = field.text;
    older = next;
    field.text = older === -1 ? draft : list[older].sql;
    field.focusEnd();
  };
  const field = editor({ words, label: 'SQL', onrun: run, oncancel: stop, onolder: () => step(1), onnewer: () => step(-1) });
  const runButton = button('Run', run, { primary: true, title: 'Ctrl Enter' });
  const cancel = button('Cancel', stop, { hidden: true, title: 'Esc' });
  const share = button('Copy link', () => {
    const link = location.href.split('#')[0] + href(['query'], { sql: field.text.trim() });
    copy(link, 'Link to this query');
  });
  const hint = el('span.soft.keyhint', {}, el('kbd', {}, 'Ctrl'), ' ', el('kbd', {}, 'Enter'), ' runs, ', el('kbd', {}, 'Ctrl'), ' ', el('kbd', {}, 'Space'), ' suggests');
  const drawPast = () => {
    const list = history.list();
    fill(past, list.length > 0 && el('details', {},
      el('summary', {}, `Earlier queries (${list.length})`),
      el('ul.queries', {}, list.map(({ sql, at }) => el('li', {},
        el('button.quiet', { type: 'button', onclick: () => { field.text = sql; field.focusEnd(); scrollTo(0, 0); } },
          el('code', {}, sql.length > 400 ? sql.slice(0, 400) + '…' : sql), el('small', {}, moment(at)))))),
      button('Forget all', () => { history.clear(); drawPast(); })));
  };

  main.append(el('h1', {}, 'Query'), field,
    el('div.actions.under', {}, runButton, cancel, share, state, hint), out, past);
  field.text = params.get('sql') ?? draft;
  signal.addEventListener('abort', () => { draft = field.text; });
  drawPast();
  // A touch screen would cover half of the page with its keyboard.
  if (matchMedia('(pointer: fine)').matches) field.focusEnd();
  try {
    await words.load(signal);
    if (!field.text && words.tables.length) field.propose(`SELECT * FROM ${words.tables[0]} LIMIT 20`);
    if (!field.text) fill(out, el('p.note', {}, 'No table yet: ', el('a', { href: '#/' }, 'how to make one'), '. What the node tells about itself can be asked: ', el('code', {}, 'SELECT * FROM system.audit LIMIT 20')));
  } catch (error) {
    if (!signal.aborted) fill(out, errorBox(error));
  }
}
