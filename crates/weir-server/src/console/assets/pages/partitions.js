// What the partitions do, live: rate, lag and freshness over the last minutes, and each partition with what it lacks.

import * as api from '../api.js';
import { chart } from '../chart.js';
import { confirm } from '../dialog.js';
import { button, el, errorBox, fill, href, say } from '../dom.js';
import { bytes, count, moment, rate, span } from '../format.js';
import * as live from '../live.js';
import { poll } from '../poll.js';
import { dataTable } from '../table.js';
import { stateBadge } from './tables.js';

export const title = () => ['Partitions'];

/** When the open segment of a partition ends: by rows or by age, whichever comes first. */
function nextSeal(row, now) {
  if (!row.openSegment) return '–';
  const left = Number(row.openSealAtMs) - now;
  const share = row.openRowsLimit ? Math.floor(Number(row.openRows) / Number(row.openRowsLimit) * 100) : 0;
  const age = row.openRows && Number(row.openRows) > 0 ? (left > 0 ? 'in ' + span(left) : 'due') : 'with rows';
  return el('span', { title: `at ${moment(row.openSealAtMs)}, or at ${count(row.openRowsLimit)} rows` }, age, el('small.line', {}, `${share} % of its rows`));
}

export async function show(main, { params, signal }) {
  const wanted = params.get('table') ?? '';
  const names = await api.tables(signal);
  const choose = el('select', { id: 'of', onchange: () => { location.hash = href(['partitions'], { table: choose.value }); } },
    el('option', { value: '' }, 'all tables'), names.map(name => el('option', { value: name, selected: name === wanted }, name)));
  choose.dataset.slash = '';
  const whole = el('span.actions');
  const charts = {
    rate: chart({ title: 'Rate', about: 'messages read per second', show: rate, windowMs: live.WINDOW_MS }),
    lag: chart({ title: 'Lag', about: 'offsets up to the ends of the logs', show: value => count(value) + ' offsets', windowMs: live.WINDOW_MS }),
    behind: chart({ title: 'Freshness', about: 'how far what can be queried is behind the clock, of the partition furthest behind', show: value => span(value) + ' behind', windowMs: live.WINDOW_MS }),
  };
  const body = el('div');
  const trouble = el('div');
  main.append(
    el('div.headline', {}, el('h1', {}, 'Partitions'), el('label.find', { for: 'of' }, 'of', choose), whole),
    el('div.charts', {}, Object.values(charts)), trouble, body);

  const known = live.history(wanted);
  let pauses = null;
  let view = null;
  let again = () => {};
  const name = row => `${row.topic}/${row.partition}`;

  const act = async (what, done) => {
    try {
      pauses = await what();
      say(done);
    } catch (error) {
      say(error.message, 'bad');
    }
    drawWhole();
    again();
  };
  const pause = async (table, which, of) => {
    const comment = await confirm({
      title: 'Pause ' + of, action: 'Pause', field: 'Why (kept with the pause)',
      text: 'Reading stops; rows that were read stay queryable. It can be resumed at any time and goes on where it stopped.',
    });
    if (comment !== null) await act(() => api.pause(table, { ...which, comment }), of + ' is paused');
  };
  const resume = (table, which, of) => act(async () => {
    const answer = await api.resume(table, which);
    // Who resumes a part of what is paused as a whole has changed nothing.
    if (which.topic && answer.pauseFlag) throw new Error(`the whole table ${table} is paused: resume the table`);
    return answer;
  }, of + ' goes on');

  const drawWhole = () => {
    if (!wanted || !pauses) return;
    fill(whole, pauses.pauseFlag
      ? button('Resume the table', () => resume(wanted, {}, 'Table ' + wanted), { primary: true })
      : button('Pause the table', () => pause(wanted, {}, 'table ' + wanted)),
    el('a.button', { href: href(['tables', wanted]) }, 'Table'));
  };
  const actions = row => {
    if (row.state === 'GONE') return '';
    const which = { topic: row.topic, partition: row.partition };
    const stopped = ['PAUSED', 'HALTED'].includes(row.state);
    const what = stopped ? 'Resume' : 'Pause';
    const of = `${row.table}, partition ${name(row)}`;
    const made = button(what, () => (stopped ? resume : pause)(row.table, which, of), { 'aria-label': `${what} ${of}` });
    made.dataset.key = live.keyOf(row);
    return made;
  };
  const number = (label, key, format = count, note) => ({ name: label, note, numeric: true, value: row => row[key], show: row => format(row[key]) });
  const perSecond = (label, key, format) => ({ name: label, numeric: true, value: row => known.rates.get(live.keyOf(row))?.[key] ?? null, show: row => format(known.rates.get(live.keyOf(row))?.[key] ?? null) });
  const columns = [
    { name: 'Partition', value: row => live.keyOf(row), show: row => (wanted ? name(row) : el('span', {}, el('a', { href: href(['partitions'], { table: row.table }) }, row.table), ' ', name(row))) },
    { name: 'State', value: row => row.state, show: row => el('span', {}, stateBadge(row.state), row.reason && el('small.line', { title: row.reason }, row.reason),
      row.unexplained && el('small.line', { title: row.unexplained }, 'not accounted for: ' + row.unexplained)) },
    number('Lag', 'lagOffsets', count, 'offsets'), number('Behind', 'lagMs', span),
    perSecond('Rate', 'messages', rate), perSecond('Bytes', 'bytes', value => (value === null ? '–' : bytes(Math.round(value)) + '/s')),
    number('Rows', 'rows'), number('Rejected', 'rejected'), number('Open rows', 'openRows'),
    { name: 'Next seal', value: row => row.openSealAtMs, show: row => nextSeal(row, api.nodeNow()) },
    number('Next offset', 'nextOffset'),
    { name: 'Last error', value: row => row.lastError, show: row => (row.lastError ? el('span', { title: row.lastError }, row.lastErrorOffset !== null && `offset ${row.lastErrorOffset}: `, row.lastError) : '') },
    { name: 'Read', sortable: false, show: actions },
  ];

  const draw = now => {
    charts.rate.update(known.samples.map(({ at, rate: value }) => ({ at, value })), now);
    charts.lag.update(known.samples.map(({ at, lag: value }) => ({ at, value })), now);
    charts.behind.update(known.samples.map(({ at, behind: value }) => ({ at, value })), now);
  };
  draw(Date.now());
  if (wanted) {
    pauses = await api.pauseStatus(wanted, signal);
    drawWhole();
  }
  again = poll({
    signal, every: live.EVERY_MS,
    ask: () => live.look(wanted, signal),
    fail: error => { fill(trouble, errorBox(error)); },
    show: rows => {
      const now = Date.now();
      fill(trouble, rows.length === live.MOST_PARTITIONS && el('p.note', {}, `The first ${count(rows.length)} partitions: choose a table to see all of its own.`));
      live.note(known, rows, now);
      draw(now);
      if (view) { view.update(rows); return; }
      view = dataTable({ caption: 'Partitions', rows, columns, empty: el('span', {}, 'No partition yet: ', el('a', { href: '#/' }, 'make a table first'), '.'), sort: { at: 0, down: false } });
      fill(body, view);
    },
  });
}
