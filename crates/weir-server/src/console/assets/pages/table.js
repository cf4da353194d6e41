// One table: its columns, its segments and why they ended, its config.

import * as api from '../api.js';
import { columnsOf } from '../completion.js';
import { button, copy, el, errorBox, fact, fill, href } from '../dom.js';
import { bytes, count, json, moment, plural } from '../format.js';
import { dataTable, shown } from '../table.js';
import { stateBadge } from './tables.js';

export const title = path => [path[1], 'Tables'];

/** Segments that are asked for: the newest. */
const MOST_SEGMENTS = 500;

/** What each reason of a seal means. */
const SEALS = {
  rowLimit: 'as many rows as it may have', timeLimit: 'it was old enough', sizeLimit: 'its file would be large enough',
  memoryLimit: 'the node needed memory', forceCommitMessageReceived: 'somebody asked', settingsChanged: 'settings or schema changed',
  endOfPartitionGroup: 'the partition ended', streamGap: 'the stream has a gap behind it', replay: 'made of records from quarantine',
};

function columns(schema) {
  const keys = new Set(schema.primaryKeyColumns ?? []);
  const more = ({ role, field }) => {
    const said = [];
    if (keys.has(field.name)) said.push('primary key');
    if (role === 'time') said.push(field.format);
    if (field.defaultNullValue !== undefined) said.push('default ' + json(field.defaultNullValue));
    if (field.notNull) said.push('not null');
    if (field.maxLength !== undefined) said.push('at most ' + field.maxLength);
    return said.join(', ');
  };
  return dataTable({
    caption: 'Columns', rows: columnsOf(schema),
    columns: [
      { name: 'Column', value: row => row.name, show: row => el('code', {}, row.name) },
      { name: 'Type', value: row => row.type }, { name: 'Role', value: row => row.role }, { name: 'More', value: more },
    ],
  });
}

function segments(rows) {
  const number = (name, key, format = count) => ({ name, numeric: true, value: row => row[key], show: row => format(row[key]) });
  return dataTable({
    caption: 'Segments', rows, empty: 'No segment yet.',
    columns: [
      { name: 'Segment', value: row => row.segment, show: row => el('code', {}, row.segment) },
      { name: 'State', value: row => row.state, show: row => stateBadge(row.state) },
      { name: 'Sealed because', value: row => row.sealReason, show: row => (row.sealReason
        ? el('span', {}, row.sealReason, el('small.line', {}, SEALS[row.sealReason] ?? '')) : el('span.soft', {}, 'still open')) },
      number('Rows', 'rows'), number('Size', 'bytes', bytes),
      { name: 'Partition', value: row => row.partition, show: row => `${row.topic}/${row.partition}` },
      { name: 'Offsets', value: row => row.startOffset, show: row => `[${row.startOffset}, ${row.endOffset ?? '…'})` },
      { name: 'Begun', value: row => row.createdMs, show: row => moment(row.createdMs) },
      { name: 'Sealed', value: row => row.sealedMs, show: row => moment(row.sealedMs) },
      { name: 'Trouble', value: row => row.lastError ?? row.missingIndexes, show: row => (row.lastError || row.missingIndexes ? shown(row.lastError ?? row.missingIndexes) : '') },
      { name: 'Location', value: row => row.location, show: row => (row.location ? el('code', {}, row.location) : '') },
    ],
  });
}

export async function show(main, { path, signal }) {
  const name = path[1];
  main.append(el('p.crumb', {}, el('a', { href: '#/tables' }, 'Tables')), el('h1', {}, name));
  const table = api.literal(name);
  const [config, list, sums, pause] = await Promise.all([
    api.tableConfig(name, signal),
    api.rows(`SELECT * FROM system.segments WHERE "table" = ${table} ORDER BY createdMs DESC LIMIT ${MOST_SEGMENTS}`, { signal }),
    api.rows(`SELECT state, COUNT(*) AS n, SUM("rows") AS r, SUM(bytes) AS b FROM system.segments WHERE "table" = ${table} GROUP BY state LIMIT 10`, { signal }),
    api.pauseStatus(name, signal),
  ]);
  const of = (state, key) => sums.find(row => row.state === state)?.[key] ?? 0;
  const all = sums.reduce((sum, row) => sum + Number(row.n), 0);
  const partitions = new Set(list.map(row => row.topic + '/' + row.partition)).size;
  const text = json(config, 2);
  const retention = config.realtime?.segmentsConfig;
  const section = (heading, ...children) => el('section', {}, el('h2', {}, heading), children);
  const seal = async () => {
    try {
      await api.forceCommit(name);
      fill(said, 'Sealing was asked for: open segments end now and are committed behind that.');
    } catch (error) {
      fill(said, errorBox(error));
    }
  };
  const said = el('p.soft', { role: 'status' });
  main.append(
    el('div.actions', {},
      el('a.button.primary', { href: href(['query'], { sql: `SELECT * FROM ${/^[A-Za-z_]\w*$/.test(name) ? name : '"' + name + '"'} LIMIT 20` }) }, 'Query it'),
      el('a.button', { href: href(['partitions'], { table: name }) }, 'Partitions'),
      el('a.button', { href: href(['quarantine', name]) }, 'Quarantine'),
      button('Seal open segments', seal)),
    said,
    el('dl.facts', {},
      fact('Reading', pause.pauseFlag ? 'paused' : 'on', pause.comment ?? ''),
      fact('Committed rows', count(of('DONE', 'r'))), fact('Committed', bytes(of('DONE', 'b'))),
      fact('Segments', count(all)), fact('Open', count(of('CONSUMING', 'n'))), fact('Being committed', count(of('COMMITTING', 'n'))),
      fact('Partitions', count(partitions)),
      fact('Kept for', retention?.retentionTimeValue ? `${retention.retentionTimeValue} ${String(retention.retentionTimeUnit ?? '').toLowerCase()}` : 'ever')),
    section('Columns', columns(config.schema)),
    section('Segments', all > list.length && el('p.note', {}, `The newest ${plural(list.length, 'segment')} of ${count(all)}.`), segments(list)),
    section('Config', el('p.soft', {}, 'Schema and table config as the node keeps them; secrets are not shown.'),
      button('Copy', () => copy(text, 'Config')), el('pre.code', { tabIndex: 0, 'aria-label': 'Config as JSON', role: 'region' }, text)));
}
