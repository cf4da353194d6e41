// An answer: what went wrong, what it is about, its rows.

import { nodeNow } from './api.js';
import { button, copy, el, fact } from './dom.js';
import { cell, count, csv, json, moment, plural, span } from './format.js';
import { dataTable } from './table.js';

const NUMERIC = /^(INT|LONG|FLOAT|DOUBLE|BIG_DECIMAL)$/;

/** What each code means for who asked; the message itself names place and remedy where the node knows them. */
const REMEDIES = {
  150: 'The text cannot be read as a query.', 190: 'Names of tables are suggested as you type after FROM.',
  191: 'Enable the table to query it.',
  200: 'The query was understood, and a row had a value that it cannot be computed of. A filter leaves such rows out; TRY_CAST gives null where CAST fails.',
  240: 'Too many queries run at once: try again.',
  245: 'Ask for fewer groups or columns, or narrow the filter.',
  250: 'Narrow the filter, or allow more time: SET timeoutMs = 60000; in front of the query.',
  305: 'The rows shown are right and lack what is named here.', 700: 'See the functions that are suggested as you type.',
  710: 'Names of columns are suggested as you type.',
};

/** Where in the text an exception lies: `[start, end]`, or null where it does not say. */
export function placeOf(message, text) {
  const at = /line:?\s*(\d+),?\s*col(?:umn)?:?\s*(\d+)/i.exec(message);
  if (at) {
    const lines = text.split('\n');
    const before = lines.slice(0, at[1] - 1).reduce((sum, line) => sum + line.length + 1, 0);
    const start = Math.min(before + Number(at[2]) - 1, text.length);
    return [start, start + Math.max(1, /^[\w$.]*/.exec(text.slice(start))[0].length)];
  }
  const word = /found: ([\w$.]+)/.exec(message)?.[1] ?? /'([^']{1,200})'/.exec(message)?.[1];
  if (word === 'EOF') return text.length ? [Math.max(0, text.trimEnd().length - 1), text.trimEnd().length] : null;
  if (!word) return null;
  const name = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const found = new RegExp(`(?<![\\w$])${name}(?![\\w$])`, 'i').exec(text);
  return found && [found.index, found.index + word.length];
}

function exceptionBox({ errorCode, message }, text, point) {
  // The name of the error stands in front of its message.
  const [, name, said] = /^(\w+Error): (.*)$/s.exec(message) ?? [null, 'Exception', message];
  const place = placeOf(said, text);
  return el(errorCode === 305 ? 'div.box.warn' : 'div.box.bad', { role: 'alert' },
    el('strong', {}, name), el('span.code', {}, errorCode), el('p.message', {}, said),
    REMEDIES[errorCode] && el('p.soft', {}, REMEDIES[errorCode]),
    place && button('Show the place', () => point(...place)));
}

/** How old what is missing from an answer can be at most, as the node measured it. */
function freshness(answer) {
  const at = answer.minConsumingFreshnessTimeMs;
  if (!answer.numConsumingSegmentsQueried || !at) return null;
  const old = Math.max(0, nodeNow() - Number(at));
  return fact('Fresh', el('span', {}, span(old) + ' ago'),
    'Everything that was readable up to ' + moment(at) + ' is in the answer, of the partition that is furthest behind');
}

/** The node for an answer. `tookMs` is what the browser saw. */
export function results({ answer, text, tookMs, point }) {
  const exceptions = answer.exceptions.map(exception => exceptionBox(exception, text, point));
  if (!answer.resultTable) return el('div.answer', {}, exceptions);
  const { rows, dataSchema } = answer.resultTable;
  const { columnNames: names, columnDataTypes: types } = dataSchema;
  const facts = el('dl.facts', { id: 'facts' },
    fact('Rows', count(rows.length)),
    fact('Time', span(answer.timeUsedMs), span(tookMs) + ' until the browser had it'),
    fact('Scanned', `${count(answer.numDocsScanned)} of ${count(answer.totalDocs)}`, 'rows that passed the filter and were read, of the rows of the table'),
    answer.numSegmentsQueried ? fact('Segments', `${count(answer.numSegmentsProcessed)} of ${count(answer.numSegmentsQueried)}`, 'looked into, of those of the table') : null,
    freshness(answer),
    answer.partialResult ? fact('Partial', 'yes', 'The answer lacks something: see above') : null,
    answer.numGroupsLimitReached ? fact('Groups', 'cut', 'There are more groups than are kept') : null);
  // The node gives ten rows where nothing is said about it, which is easily taken for all.
  const ten = rows.length === 10 && !/\blimit\b/i.test(text) && !/useMultistageEngine/i.test(text);
  const objects = () => rows.map(row => Object.fromEntries(names.map((name, at) => [name, row[at]])));
  return el('div.answer', {}, exceptions,
    el('div.above', {}, facts, el('div.actions', {},
      button('Copy CSV', () => copy(csv(names, rows), plural(rows.length, 'row') + ' as CSV')),
      button('Copy JSON', () => copy(json(objects(), 2), plural(rows.length, 'row') + ' as JSON')))),
    ten && el('p.note', {}, 'A query without LIMIT gives ten rows; there may be more.'),
    dataTable({
      caption: 'Result', rows, empty: 'The query gave no rows.',
      columns: names.map((name, at) => ({ name, note: types[at], numeric: NUMERIC.test(types[at]), value: row => row[at], cell })),
    }));
}
