// The beginning: the bar, the router, the shortcuts.

import * as api from './api.js';
import { el, errorBox } from './dom.js';
import { listen, showHelp } from './keys.js';
import { start } from './router.js';
import * as partitions from './pages/partitions.js';
import * as quarantine from './pages/quarantine.js';
import * as query from './pages/query.js';
import * as home from './pages/start.js';
import * as table from './pages/table.js';
import * as tables from './pages/tables.js';

const nowhere = {
  title: () => ['Not here'],
  show: main => main.append(el('h1', {}, 'There is no such page'), el('p', {}, 'Go to the ', el('a', { href: '#/' }, 'start'), '.')),
};

function pages(path) {
  switch (path[0]) {
    case undefined: return home;
    case 'query': return query;
    case 'tables': return path.length > 1 ? table : tables;
    case 'partitions': return partitions;
    case 'quarantine': return quarantine;
    default: return nowhere;
  }
}

/** A page that cannot be shown says why, in its place. */
function guarded(page) {
  return { ...page, show: async (main, route) => {
    try {
      await page.show(main, route);
    } catch (error) {
      if (error.name !== 'AbortError' && !route.signal.aborted) main.append(errorBox(error, again));
    }
  } };
}

const main = document.getElementById('main');
const reach = document.getElementById('reach');
api.onReach(answers => {
  const text = answers ? '' : 'no answer';
  if (reach.textContent !== text) reach.textContent = text;
});
document.getElementById('help').addEventListener('click', showHelp);
document.getElementById('skip').addEventListener('click', event => {
  // The address names a page; a jump must not change it.
  event.preventDefault();
  main.focus();
});
listen();
const again = start(main, path => guarded(pages(path)), path => {
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === '#/' + path[0]) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
});
