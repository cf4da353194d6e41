// A field for SQL with suggestions under the word that is being typed. It stays a plain text area: marking, undoing and
// speaking work as the browser does them.

import { el } from './dom.js';

const LINE_PX = 21;
/** Suggestions come by themselves from so many letters on. */
const LEAST = 2;

/** `onrun()`, `oncancel()`, `onolder()`, `onnewer()` are called on their keys. The node has `text`. */
export function editor({ words, label, onrun, oncancel, onolder, onnewer }) {
  const area = el('textarea.sql', { rows: 7, spellcheck: false, autocapitalize: 'off', autocomplete: 'off', wrap: 'off',
    'aria-label': label, 'aria-autocomplete': 'list', 'aria-controls': 'offers', 'aria-haspopup': 'listbox' });
  area.dataset.slash = '';
  const list = el('ul.offers', { id: 'offers', role: 'listbox', 'aria-label': 'Suggestions', hidden: true });
  const count = el('span.hidden', { role: 'status' });
  const node = el('div.editor', {}, area, list, count);
  let [from, offers, at, chosen] = [0, [], 0, false];

  const close = () => {
    list.hidden = true;
    offers = [];
    area.removeAttribute('aria-activedescendant');
    count.textContent = '';
  };
  const mark = () => {
    [...list.children].forEach((item, index) => item.setAttribute('aria-selected', String(index === at)));
    area.setAttribute('aria-activedescendant', 'offer-' + at);
    list.children[at]?.scrollIntoView({ block: 'nearest' });
  };
  const take = index => {
    const { text } = offers[index];
    area.setRangeText(text, from, area.selectionStart, 'end');
    close();
    area.focus();
  };
  const place = () => {
    // The field does not wrap, its letters have one width: the place of a letter follows from its line and column.
    const before = area.value.slice(0, from);
    const line = before.split('\n').length - 1;
    const column = before.length - before.lastIndexOf('\n') - 1;
    list.style.top = (line + 1) * LINE_PX + 14 - area.scrollTop + 'px';
    list.style.left = `clamp(0px, calc(${column}ch + 12px - ${area.scrollLeft}px), max(0px, 100% - 260px))`;
  };
  const suggest = asked => {
    if (area.selectionStart !== area.selectionEnd) return close();
    const found = words.complete(area.value, area.selectionStart, asked);
    const long = area.selectionStart - found.from >= LEAST;
    if (!found.offers.length || !(long || asked)) return close();
    ({ from, offers } = found);
    [at, chosen] = [0, asked];
    list.replaceChildren(...offers.map(({ text, what }, index) =>
      el('li', { id: 'offer-' + index, role: 'option', onmousedown: event => { event.preventDefault(); take(index); } },
        el('span', {}, text), el('small', {}, what))));
    list.hidden = false;
    place();
    mark();
    count.textContent = offers.length + ' suggestions';
  };

  area.addEventListener('input', event => { if (!event.isComposing) suggest(false); });
  area.addEventListener('blur', close);
  area.addEventListener('scroll', close);
  area.addEventListener('click', close);
  area.addEventListener('keydown', event => {
    const open = !list.hidden;
    if (event.isComposing) return;
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { close(); onrun(); }
    else if (event.key === ' ' && event.ctrlKey) suggest(true);
    else if (event.altKey && event.key === 'ArrowUp') onolder();
    else if (event.altKey && event.key === 'ArrowDown') onnewer();
    else if (open && event.key === 'ArrowDown') { at = (at + 1) % offers.length; chosen = true; mark(); }
    else if (open && event.key === 'ArrowUp') { at = (at + offers.length - 1) % offers.length; chosen = true; mark(); }
    else if (open && event.key === 'Tab' && !event.shiftKey) take(at);
    // A line that is to end is not changed by a suggestion that nobody looked at.
    else if (open && event.key === 'Enter' && chosen) take(at);
    else if (event.key === 'Escape') { if (open) close(); else oncancel(); }
    else return;
    event.preventDefault();
  });

  Object.defineProperty(node, 'text', { get: () => area.value, set: text => { area.value = text; close(); } });
  /** Puts in a text that nobody asked for: whoever is in the field replaces it by typing. */
  node.propose = text => {
    node.text = text;
    if (document.activeElement === area) area.select();
  };
  node.focusEnd = () => { area.focus({ preventScroll: true }); area.setSelectionRange(area.value.length, area.value.length); };
  /** Marks a stretch of the text, and shows it. */
  node.point = (start, end) => {
    area.focus();
    area.setSelectionRange(start, end);
    area.scrollTop = Math.max(0, (area.value.slice(0, start).split('\n').length - 3) * LINE_PX);
  };
  return node;
}
