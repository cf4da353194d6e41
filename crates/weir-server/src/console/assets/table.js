// One table for everything: sorted by its heads, scrolled within itself, cut where a browser would suffer.

import { add, el } from './dom.js';
import { cell, count } from './format.js';

/** Rows that are drawn at most: beyond them scrolling stutters. What is copied has all. */
const MOST_ROWS = 1000;
/** Characters of a cell that are drawn, and that its title shows. */
const MOST_CHARS = 300;
const MOST_TITLE = 4000;

const missing = value => value === null || value === undefined;

/** Decimals as they are written, every digit of them: those of BIG_DECIMAL have more than a number of the browser. */
function decimals(a, b) {
  const [[, minusA, wholeA, restA = ''], [, minusB, wholeB, restB = '']] = [a, b];
  if (minusA !== minusB) return minusA ? -1 : 1;
  const less = minusA ? 1 : -1;
  if (wholeA.length !== wholeB.length) return wholeA.length < wholeB.length ? less : -less;
  if (wholeA !== wholeB) return wholeA < wholeB ? less : -less;
  const digits = Math.max(restA.length, restB.length);
  const [x, y] = [restA.padEnd(digits, '0'), restB.padEnd(digits, '0')];
  return x === y ? 0 : x < y ? less : -less;
}

function order(a, b, numeric) {
  if (a === b) return 0;
  if (/^(number|bigint)$/.test(typeof a) && /^(number|bigint)$/.test(typeof b)) return a < b ? -1 : a > b ? 1 : 0;
  if (numeric) {
    const [x, y] = [a, b].map(value => /^(-?)0*(\d+?)(?:\.(\d*))?$/.exec(String(value)));
    if (x && y) return decimals(x, y);
    // Infinity and NaN come as texts; NaN is beyond all others, as in the node's own order.
    const [m, n] = [a, b].map(Number);
    return Number.isNaN(m) ? (Number.isNaN(n) ? 0 : 1) : Number.isNaN(n) ? -1 : m < n ? -1 : m > n ? 1 : 0;
  }
  return cell(a).localeCompare(cell(b), 'en', { numeric: true });
}

/** A value as a cell shows it. */
export function shown(value) {
  if (value === null || value === undefined) return el('span.null', {}, 'null');
  const text = cell(value);
  if (text.length <= MOST_CHARS) return text;
  return el('span', { title: text.slice(0, MOST_TITLE) }, text.slice(0, MOST_CHARS) + '…');
}

/**
 * `columns`: `{ name, note, numeric, value(row), show(row), sortable }`. `rows` may be replaced by `update(rows)`.
 * `caption` is read by screen readers and names the region that scrolls..
 */
export function dataTable({ columns, rows, caption, empty, sort = null, rowProps }) {
  let sorted = sort;
  const body = el('tbody');
  const note = el('p.note', { hidden: true });
  const heads = columns.map((column, at) => {
    const label = [column.name, column.note && el('small', {}, column.note)];
    const head = el('th', { scope: 'col', className: column.numeric ? 'num' : '' });
    if (column.sortable === false) return add(head, label);
    const turn = el('button.head', { type: 'button', onclick: () => {
      sorted = sorted?.at === at ? (sorted.down ? null : { at, down: true }) : { at, down: false };
      draw();
    } }, label);
    return add(head, [turn]);
  });
  const table = el('table', {}, el('caption.hidden', {}, caption), el('thead', {}, el('tr', {}, heads)), body);
  const scroll = el('div.scroll', { role: 'region', 'aria-label': caption, tabIndex: 0 }, table);
  function draw() {
    const list = [...rows];
    if (sorted) {
      const { value, numeric } = columns[sorted.at];
      const turned = sorted.down ? -1 : 1;
      list.sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        // What is not known comes last, whichever way the rest is turned.
        if (missing(a) || missing(b)) return missing(a) - missing(b);
        return order(a, b, numeric) * turned;
      });
    }
    heads.forEach((head, at) => {
      if (columns[at].sortable === false) return;
      head.setAttribute('aria-sort', sorted?.at === at ? (sorted.down ? 'descending' : 'ascending') : 'none');
    });
    body.replaceChildren(...list.slice(0, MOST_ROWS).map(row => el('tr', rowProps?.(row) ?? {}, columns.map(column =>
      el('td', { className: column.numeric ? 'num' : '' }, (column.show ?? (r => shown(column.value(r))))(row))))));
    if (!list.length) body.append(el('tr', {}, el('td.none', { colSpan: columns.length }, empty ?? 'Nothing here.')));
    note.hidden = list.length <= MOST_ROWS;
    note.textContent = `The first ${count(MOST_ROWS)} of ${count(list.length)} rows are drawn; a copy has all of them.`;
  }
  draw();
  const node = el('div.tablebox', {}, scroll, note);
  node.update = next => {
    // Whoever tabs through a live table must not lose the place.
    const focus = body.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    rows = next;
    draw();
    if (focus) body.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  };
  return node;
}
