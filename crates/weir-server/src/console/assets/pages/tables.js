// All tables with their size and how they are doing.

import * as api from '../api.js';
import { el, errorBox, fill, href } from '../dom.js';
import { bytes, count, span } from '../format.js';
import { MOST_PARTITIONS } from '../live.js';
import { poll } from '../poll.js';
import { dataTable } from '../table.js';

export const title = () => ['Tables'];

/** The words of several states, the ones that need somebody first. */
export function stateOf(states) {
  const worst = ['HALTED', 'RECREATED', 'RETRYING', 'PAUSED', 'RECOVERING', 'LAGGING', 'STARTING', 'CONSUMING', 'GONE'];
  return worst.find(state => states.includes(state)) ?? states[0] ?? 'NONE';
}

/** A state in its colour; the word itself says all. */
export function stateBadge(state) {
  const kind = { CONSUMING: 'good', DONE: 'good', HALTED: 'bad', RECREATED: 'bad', RETRYING: 'bad', LAGGING: 'warn', RECOVERING: 'warn', PAUSED: 'warn' }[state] ?? 'plain';
  return el('span.badge.' + kind, {}, state);
}

async function look(signal) {
  const [names, partitions, segments] = await Promise.all([
    api.tables(signal), api.allPartitions(MOST_PARTITIONS, signal),
    api.rows('SELECT "table" AS t, COUNT(*) AS n, SUM(bytes) AS bytes FROM system.segments GROUP BY "table" LIMIT 10000', { signal }),
  ]);
  const sizes = new Map(segments.map(row => [row.t, row]));
  return names.map(name => {
    const own = partitions.filter(row => row.table === name);
    const sum = key => own.reduce((total, row) => total + Number(row[key] ?? 0), 0);
    return {
      name, partitions: own.length, state: stateOf(own.map(row => row.state)), rows: sum('rows'), lag: sum('lagOffsets'),
      behind: own.length ? Math.max(...own.map(row => Number(row.lagMs))) : null, rejected: sum('rejected'),
      segments: sizes.get(name)?.n ?? 0, bytes: sizes.get(name)?.bytes ?? 0, open: sum('openBytes'),
    };
  });
}

const number = (name, key, format = count, note) => ({ name, note, numeric: true, value: row => row[key], show: row => format(row[key]) });

export async function show(main, { signal }) {
  const body = el('div');
  const filter = el('input', { type: 'search', placeholder: 'part of a name', 'aria-label': 'Filter tables by name' });
  filter.dataset.slash = '';
  main.append(el('div.headline', {}, el('h1', {}, 'Tables'), el('label.find', {}, filter)), body);
  let list = null;
  let view = null;
  const draw = () => {
    if (!list) return;
    const wanted = filter.value.trim().toLowerCase();
    const rows = list.filter(row => row.name.toLowerCase().includes(wanted));
    if (!list.length) { view = null; fill(body, el('p.note', {}, 'No table yet: ', el('a', { href: '#/' }, 'how to make one'), '.')); return; }
    if (view) { view.update(rows); return; }
    view = dataTable({
      caption: 'Tables', rows, empty: 'No table has such a name.', sort: { at: 0, down: false },
      columns: [
        { name: 'Table', value: row => row.name, show: row => {
          const link = el('a', { href: href(['tables', row.name]) }, row.name);
          link.dataset.key = row.name;
          return link;
        } },
        { name: 'State', value: row => row.state, show: row => stateBadge(row.state) },
        number('Rows taken in', 'rows'), number('Partitions', 'partitions'), number('Behind', 'behind', span), number('Lag', 'lag', count, 'offsets'),
        number('Segments', 'segments'), number('Committed', 'bytes', bytes), number('Open', 'open', bytes, 'memory'),
        { ...number('Rejected', 'rejected'), show: row => (row.rejected ? el('a', { href: href(['quarantine', row.name]) }, count(row.rejected)) : '0') },
      ],
    });
    fill(body, view);
  };
  filter.addEventListener('input', draw);
  poll({ signal, every: 2000, ask: look, show: found => { list = found; draw(); }, fail: error => { view = null; fill(body, errorBox(error)); } });
}
