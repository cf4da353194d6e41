// Questions before something that matters.

import { el } from './dom.js';

/**
 * Asks; gives the text of its field (empty where it has none) or null where it was not agreed to.
 * The first thing with the focus is the way out, unless there is a field to fill.
 */
export function confirm({ title, text, action, danger, field }) {
  return new Promise(resolve => {
    const input = field && el('input', { type: 'text', maxLength: 500, autofocus: true });
    const dialog = el('dialog', { 'aria-labelledby': 'ask-title' },
      el('form', { method: 'dialog' },
        el('h2', { id: 'ask-title' }, title), el('p', {}, text),
        field && el('label.field', {}, field, input),
        el('div.actions', {},
          el('button', { value: '', autofocus: !field, formNoValidate: true }, 'Cancel'),
          el(danger ? 'button.danger' : 'button.primary', { value: 'yes' }, action))));
    // Enter in a field means the action, not the first button of the form.
    input?.addEventListener('keydown', event => {
      if (event.key === 'Enter') { event.preventDefault(); dialog.close('yes'); }
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes' ? input?.value ?? '' : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
