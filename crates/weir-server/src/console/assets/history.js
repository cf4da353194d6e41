// The queries of this browser, newest first, in its own storage: nobody else sees them.

const KEY = 'weir.queries';
/** What one looks for is among the last; all of them are read at once. */
const MOST = 100;
/** A longer text is not kept: the storage of a page has some megabytes for all. */
const MOST_CHARS = 20000;

/** Queries as `{ sql, at }`, newest first. */
export function list() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(found) ? found.filter(entry => typeof entry?.sql === 'string') : [];
  } catch {
    return [];
  }
}

function write(entries) {
  try { localStorage.setItem(KEY, JSON.stringify(entries)); } catch { /* full, or not allowed: then there is no history */ }
}

/** Notes a query; one that is there already comes first again. */
export function note(sql) {
  if (sql.length > MOST_CHARS) return;
  write([{ sql, at: Date.now() }, ...list().filter(entry => entry.sql !== sql)].slice(0, MOST));
}

export function clear() {
  write([]);
}
