// Records that could not become rows: looked at byte by byte, replayed once the table is mended, or dropped.

import * as api from '../api.js';
import { confirm } from '../dialog.js';
import { button, copy, el, errorBox, fact, fill, href, say } from '../dom.js';
import { bytes, count, fromBase64, hex, json, moment, plural } from '../format.js';
import { poll } from '../poll.js';
import { dataTable } from '../table.js';

export const title = path => (path[1] ? [path[1], 'Quarantine'] : ['Quarantine']);

/** Entries of one page: each may hold a megabyte. */
const PAGE = 50;
/** Bytes of a payload that are shown; the copy has all that is kept. */
const MOST_SHOWN = 16384;
const STAGES = ['DECODE', 'COMPLEX_TYPE', 'TRANSFORM', 'FILTER', 'DATA_TYPE', 'TIME', 'SANITISE', 'REPLAY'];

async function overview(main, signal) {
  main.append(el('h1', {}, 'Quarantine'), el('p.soft', {}, 'Records that could not become rows. They stop nothing, are kept with the reason, and can be replayed once the table is mended.'));
  const [names, kept] = await Promise.all([
    api.tables(signal),
    api.rows('SELECT "table" AS t, stage, COUNT(*) AS n, MAX(timeMs) AS latest FROM system.quarantine GROUP BY "table", stage ORDER BY "table" LIMIT 10000', { signal }),
  ]);
  main.append(dataTable({
    caption: 'Quarantine by table', empty: 'No table yet.',
    rows: names.map(name => {
      const own = kept.filter(row => row.t === name);
      return { name, n: own.reduce((sum, row) => sum + Number(row.n), 0), stages: own.map(row => `${row.stage} ${row.n}`).join(', '), latest: Math.max(0, ...own.map(row => Number(row.latest))) };
    }),
    sort: { at: 1, down: true },
    columns: [
      { name: 'Table', value: row => row.name, show: row => el('a', { href: href(['quarantine', row.name]) }, row.name) },
      { name: 'Records', numeric: true, value: row => row.n, show: row => count(row.n) },
      { name: 'By stage', value: row => row.stages }, { name: 'Newest', value: row => row.latest, show: row => moment(row.latest) },
    ],
  }));
}

function bytesView(label, base64, whole) {
  const data = fromBase64(base64);
  const text = new TextDecoder().decode(data.slice(0, MOST_SHOWN));
  const cut = data.length > MOST_SHOWN ? `The first ${bytes(MOST_SHOWN)} of ${bytes(data.length)} are shown.` : whole > data.length ? `${bytes(data.length)} of ${bytes(whole)} were kept.` : null;
  return [el('h3', {}, label, ' ', el('small', {}, bytes(data.length))), cut && el('p.note', {}, cut),
    el('div.both', {},
      el('pre.code', { tabIndex: 0, role: 'region', 'aria-label': label + ' as text' }, text || '(empty)'),
      el('pre.code', { tabIndex: 0, role: 'region', 'aria-label': label + ' in hexadecimal' }, hex(data, MOST_SHOWN) || '(empty)')),
    button('Copy as text', () => copy(new TextDecoder().decode(data), label))];
}

export async function show(main, { path, params, signal }) {
  if (!path[1]) { await overview(main, signal); return; }
  const table = path[1];
  const stage = params.get('stage') ?? '';
  const filter = { stage };
  const of = stage ? ` of stage ${stage}` : '';
  const facts = el('dl.facts', { id: 'counts' });
  const list = el('div.entries');
  const report = el('div', { role: 'status' });
  const more = el('div.actions');
  const choose = el('select', { id: 'stage', onchange: () => { location.hash = href(['quarantine', table], { stage: choose.value }); } },
    el('option', { value: '' }, 'every stage'), STAGES.map(name => el('option', { value: name, selected: name === stage }, name)));
  choose.dataset.slash = '';
  const replayAll = button('Replay all' + of, () => replay(filter, `all records${of}`), { primary: true });
  const dropAll = button('Drop all' + of, () => drop(filter, `all records${of}`));
  main.append(el('p.crumb', {}, el('a', { href: '#/quarantine' }, 'Quarantine')),
    el('div.headline', {}, el('h1', {}, table), el('label.find', { for: 'stage' }, 'stage', choose)),
    facts, el('div.actions', {}, replayAll, dropAll, button('Refresh', () => load()), el('a.button', { href: href(['tables', table]) }, 'Table')), report, list, more);
  let seen = null;

  const counts = answer => {
    fill(facts, fact('In quarantine', count(answer.kept)), fact('Replayed', count(answer.replayed), 'became rows after all'),
      fact('Dropped', count(answer.deleted)), fact('Evicted', count(answer.evicted), 'gone by the bounds of age, number and size'));
    replayAll.disabled = dropAll.disabled = Number(answer.kept) === 0;
  };
  const busy = state => { for (const made of main.querySelectorAll('button')) made.disabled = state; };
  const failures = found => el('ul', {}, found.map(one => el('li', {}, el('code', {}, `${one.topic}/${one.partition}/${one.offset}`), ` ${one.stage}${one.column ? ' ' + one.column : ''}: ${one.reason}`)));

  async function replay(which, what) {
    busy(true);
    try {
      const answer = await api.replay(table, which);
      const said = `${plural(answer.replayed, 'record')} replayed, ${plural(answer.rows, 'row')} made`;
      const failed = Number(answer.failed) > 0;
      fill(report, el(failed ? 'div.box.warn' : 'div.box.good', {}, el('strong', {}, said + (failed ? `; ${plural(answer.failed, 'record')} failed again` : '')),
        failed && el('p', {}, 'They stay in quarantine. Mend the table (weir apply), then replay again.'), failed && failures(answer.failures)));
      say(said, failed ? 'bad' : '');
    } catch (error) {
      fill(report, errorBox({ title: `Replay of ${what} failed`, message: error.message }));
    }
    busy(false);
    await load();
  }
  async function drop(which, what) {
    const agreed = await confirm({ title: `Drop ${what}?`, action: 'Drop', danger: true, text: `They are gone for good and stay counted as rejected. Table ${table}.` });
    if (agreed === null) return;
    busy(true);
    try {
      const { deleted } = await api.dropQuarantined(table, which);
      fill(report, el('div.box', {}, el('strong', {}, plural(deleted, 'record') + ' dropped')));
    } catch (error) {
      fill(report, errorBox({ title: `Dropping ${what} failed`, message: error.message }));
    }
    busy(false);
    await load();
  }
  const entry = one => {
    const id = `${one.topic}/${one.partition}/${one.offset}`;
    const which = { topic: one.topic, partition: one.partition, offsets: one.offset };
    const inside = el('div.inside');
    const node = el('details.entry', { ontoggle: () => {
      if (!node.open || inside.firstChild) return;
      fill(inside, bytesView('Value', one.payloadBase64, Number(one.valueBytes)), one.keyBase64 !== null && bytesView('Key', one.keyBase64, 0),
        el('div.actions', {},
          button('Replay this record', () => replay(which, id), { primary: true, 'aria-label': `Replay ${id}` }),
          button('Drop this record', () => drop(which, id), { 'aria-label': `Drop ${id}` })));
    } },
    el('summary', {}, el('span.badge.bad', {}, one.stage), el('code', {}, id), one.column && el('code.column', {}, one.column),
      el('span.reason', {}, one.reason), el('small', {}, moment(one.timeMs))), inside);
    return node;
  };
  // Records that were rejected are not all here: a table may drop them, and what was here may have left.
  async function nothing() {
    const [[{ n }], config] = await Promise.all([
      api.rows(`SELECT SUM(rejected) AS n FROM system.partitions WHERE "table" = ${api.literal(table)}`, { signal }),
      api.tableConfig(table, signal),
    ]);
    const gone = Number(n);
    if (!(gone > 0)) return el('p.fine', {}, 'Nothing in quarantine: every record became a row, or was meant not to.');
    const policy = /error\.policy"\s*:\s*"(\w+)"/i.exec(json(config))?.[1]?.toLowerCase();
    const why = policy === 'drop'
      ? ['the table has ', el('code', {}, 'error.policy'), ' ', el('code', {}, 'drop'), '. With ', el('code', {}, 'quarantine'), ' those that come later are kept.']
      : 'they were dropped by hand, or evicted by the bounds of age, number and size.';
    return el('p.note', {}, `${plural(gone, 'record')} rejected and not kept: `, why);
  }
  async function page(after) {
    const answer = await api.quarantine(table, { ...filter, limit: PAGE, after }, signal);
    counts(answer);
    list.append(...answer.entries.map(entry));
    fill(more, answer.next && button('Show more', () => page(answer.next).catch(error => fill(more, errorBox(error)))));
    return answer;
  }
  async function load() {
    const inside = list.contains(document.activeElement) || document.activeElement === document.body;
    list.replaceChildren();
    try {
      const answer = await page();
      seen = Number(answer.kept);
      if (!answer.entries.length) fill(list, stage ? el('p.fine', {}, `Nothing in quarantine at stage ${stage}.`) : await nothing());
    } catch (error) {
      if (error.name !== 'AbortError') fill(list, errorBox(error, load));
    }
    if (inside && !signal.aborted) main.focus({ preventScroll: true });
  }
  await load();
  poll({
    signal, every: 3000,
    ask: () => api.quarantine(table, { limit: 1 }, signal),
    show: answer => {
      counts(answer);
      if (seen !== null && Number(answer.kept) !== seen && !main.querySelector('.changed')) {
        more.before(el('p.note.changed', {}, 'The list has changed: ', button('Refresh', () => { main.querySelector('.changed')?.remove(); load(); })));
      } else if (Number(answer.kept) === seen) main.querySelector('.changed')?.remove();
    },
    fail: () => {},
  });
}
