// The start: what the node has, how it is doing; on an empty node, what to do next.

import * as api from '../api.js';
import { el, errorBox, fill, href } from '../dom.js';
import { bytes, count, plural, span } from '../format.js';
import { MOST_PARTITIONS } from '../live.js';
import { poll } from '../poll.js';

export const title = () => [];

const command = text => el('pre.command', { tabIndex: 0 }, text);

function empty() {
  const port = location.port || (location.protocol === 'https:' ? '443' : '80');
  const at = port === '9000' ? '' : ` --controller ${location.origin}`;
  return el('section.next', {},
    el('p', {}, 'This node runs and has no table yet. Three ways on:'),
    el('ol.steps', {},
      el('li', {}, el('h2', {}, 'Make a table'), el('p', {}, 'From Pinot’s tableConfigs JSON: a schema, a table config, and the stream to read. A file is checked without a node first.'),
        command(`weir check examples/orders-local.json\nweir apply examples/orders-local.json${at}`)),
      el('li', {}, el('h2', {}, 'Send a record'), el('p', {}, 'The table of the example reads the log that is built in. With Kafka the records come from your topic.'),
        command(`curl -s ${location.origin}/topics/orders \\\n  -H 'Content-Type: application/vnd.kafka.json.v2+json' \\\n  -d '{"records":[{"value":{"id":1,"country":"DE","amount":5,"ts":1767225600000}}]}'`)),
      el('li', {}, el('h2', {}, 'Ask for it'), el('p', {}, 'It is there within milliseconds.'),
        el('p', {}, el('a', { href: href(['query'], { sql: 'SELECT * FROM orders LIMIT 20' }) }, 'Query orders')))),
    el('p.soft', {}, 'Only looking? ', el('code', {}, 'weir demo'), ' starts a node of its own with a live table. All paths of REST are listed at ', el('a', { href: 'help' }, '/help'), '.'));
}

/** What needs somebody, worst first. */
function troubles(partitions, tables) {
  const found = [];
  const link = table => el('a', { href: href(['partitions'], { table }) }, table);
  for (const row of partitions) {
    const where = `${row.topic}/${row.partition}`;
    if (row.unexplained) found.push(['bad', [link(row.table), ` ${where}: messages are not accounted for: ${row.unexplained}`]]);
    if (['HALTED', 'RECREATED', 'RETRYING'].includes(row.state)) found.push(['bad', [link(row.table), ` ${where} is ${row.state}: ${row.reason || row.lastError || ''}`]]);
    else if (['LAGGING', 'RECOVERING'].includes(row.state)) found.push(['warn', [link(row.table), ` ${where} is ${row.state}, ${count(row.lagOffsets)} offsets behind`]]);
  }
  for (const [table, rejected] of tables) {
    if (rejected > 0) found.push(['warn', [el('a', { href: href(['quarantine', table]) }, table), ` has ${plural(rejected, 'record')} in quarantine`]]);
  }
  const paused = partitions.filter(row => row.state === 'PAUSED');
  if (paused.length) found.push(['warn', [el('a', { href: '#/partitions' }, plural(paused.length, 'partition')), paused.length === 1 ? ' is paused' : ' are paused']]);
  return found.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function tile(term, value, link, note) {
  return el('a.tile', { href: link }, el('span.term', {}, term), el('span.value', {}, value), note && el('small', {}, note));
}

async function look(signal) {
  const [tables, partitions, segments, kept] = await Promise.all([
    api.tables(signal), api.allPartitions(MOST_PARTITIONS, signal),
    api.rows('SELECT COUNT(*) AS n, SUM(bytes) AS bytes FROM system.segments', { signal }),
    api.rows('SELECT "table" AS t, COUNT(*) AS n FROM system.quarantine GROUP BY "table" LIMIT 1000', { signal }),
  ]);
  return { tables, partitions, segments: segments[0], kept: kept.map(({ t, n }) => [t, n]) };
}

export async function show(main, { signal }) {
  const body = el('div');
  const about = el('p.soft');
  main.append(el('h1', {}, 'This node'), about, body);
  api.version(signal).then(({ weir }) => { about.textContent = `Weir ${weir} at ${location.host}`; }).catch(() => {});
  let was = '';
  poll({
    signal, every: 2000,
    ask: look,
    fail: error => { was = ''; fill(body, errorBox(error)); },
    show: ({ tables, partitions, segments, kept }) => {
      // What stays the same is not drawn anew: links keep the focus.
      const now = JSON.stringify([tables, kept, segments, partitions.map(row => [row.state, row.reason, row.lagOffsets, row.lagMs, row.rows])], (_, value) => (typeof value === 'bigint' ? String(value) : value));
      if (now === was) return;
      was = now;
      const focused = body.contains(document.activeElement) ? [...body.querySelectorAll('a')].indexOf(document.activeElement) : -1;
      if (!tables.length) { fill(body, empty()); return; }
      const behind = partitions.filter(row => row.state !== 'GONE').map(row => Number(row.lagMs));
      const lag = partitions.reduce((sum, row) => sum + Number(row.lagOffsets ?? 0), 0);
      const bad = kept.reduce((sum, [, n]) => sum + Number(n), 0);
      const found = troubles(partitions, kept);
      fill(body,
        el('div.tiles', {},
          tile('Tables', count(tables.length), '#/tables'),
          tile('Rows taken in', count(partitions.reduce((sum, row) => sum + Number(row.rows), 0)), '#/tables', plural(partitions.length, 'partition')),
          tile('Behind', span(behind.length ? Math.max(...behind) : null), '#/partitions', plural(lag, 'offset')),
          tile('Segments', count(segments.n), '#/tables', bytes(segments.bytes) + ' committed'),
          tile('Quarantine', count(bad), '#/quarantine', bad ? 'to be looked at' : 'nothing kept')),
        el('h2', {}, 'To look at'),
        found.length ? el('ul.troubles', {}, found.slice(0, 50).map(([kind, what]) => el('li.' + kind, {}, what)))
          : el('p.fine', {}, 'Nothing: every partition reads, nothing is in quarantine.'),
        el('p', {}, el('a', { href: href(['query'], { sql: `SELECT * FROM ${tables[0]} LIMIT 20` }) }, 'Query ' + tables[0]), ' · ', el('a', { href: '#/partitions' }, 'Watch the partitions'), ' · ', el('a', { href: 'help' }, 'REST paths')));
      if (focused >= 0) body.querySelectorAll('a')[focused]?.focus({ preventScroll: true });
    },
  });
}
