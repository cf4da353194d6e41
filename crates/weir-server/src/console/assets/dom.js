// Makes elements. Text goes in as text nodes only, so whatever a record, a name or a message holds is shown and never read
// as markup.

/** `el('button.quiet', { type: 'button', onclick }, 'text', child)`: a tag with classes, properties, children. */
export function el(what, props = {}, ...children) {
  const [tag, ...classes] = what.split('.');
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(' ');
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key.startsWith('aria-') || key === 'role' || key === 'for' || key === 'scope') node.setAttribute(key, value);
    else node[key] = value;
  }
  add(node, children);
  return node;
}

/** Adds children: nodes, text, lists of them; nothing for null, undefined and false. */
export function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** Puts children in the place of what is there. */
export function fill(node, ...children) {
  node.replaceChildren();
  return add(node, children);
}

/** A button. */
export function button(label, onclick, props = {}) {
  return el(props.primary ? 'button.primary' : 'button', { type: 'button', onclick, ...props, primary: undefined }, label);
}

/** A link of the console: a page and the parameters that follow it. */
export function href(path, params = {}) {
  const set = Object.entries(params).filter(([, value]) => value !== undefined && value !== '');
  const query = new URLSearchParams(set).toString();
  return '#/' + path.map(encodeURIComponent).join('/') + (query ? '?' + query : '');
}

/** A pair of a term and what it is, for `dl.facts`. */
export function fact(term, value, title) {
  return el('div', { title }, el('dt', {}, term), el('dd', {}, value));
}

/** Says something that happened, to eyes and to screen readers. */
export function say(text, kind = '') {
  const place = document.getElementById('said');
  place.className = 'said shown ' + kind;
  place.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { place.className = 'said'; place.textContent = ''; }, kind === 'bad' ? 12000 : 5000);
}

/** A box that tells an error where it happened. */
export function errorBox(error, retry) {
  return el('div.box.bad', { role: 'alert' },
    el('strong', {}, error.title ?? 'That did not work'), el('p', {}, error.message),
    retry && button('Try again', retry));
}

/** Puts text on the clipboard; where the browser has none for this page, the text is shown to be copied by hand. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(what + ' copied');
  } catch {
    const area = el('textarea.hand', { value: text, readOnly: true, rows: 12, 'aria-label': what });
    const dialog = el('dialog', { 'aria-label': what },
      el('h2', {}, what), el('p', {}, 'The browser gives this page no clipboard: copy the text by hand.'), area,
      el('form.actions', { method: 'dialog' }, el('button', {}, 'Close')));
    document.body.append(dialog);
    dialog.addEventListener('close', () => dialog.remove());
    dialog.showModal();
    area.select();
  }
}
