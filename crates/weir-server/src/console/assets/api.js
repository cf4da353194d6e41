// The only module that asks the node. Paths are relative, so that the console works below a proxy's folder as well; the
// browser sends along whatever it signed in with for this address.

/** An error of the node, with the words it said. */
export class ApiError extends Error {
  constructor(title, message, status) {
    super(message);
    this.title = title;
    this.status = status;
  }
}

/** How far the browser's clock is ahead of the node's, in milliseconds; below its resolution of a second it counts as 0. */
let ahead = 0;
const watchers = new Set();

/** Calls back with whether the node answers, each time that this changes hands. */
export function onReach(watcher) {
  watchers.add(watcher);
}

/** The node's time now, as well as it is known. */
export function nodeNow() {
  return Date.now() - ahead;
}

/** Reads JSON without rounding: whole numbers beyond 2^53 become BigInt where the browser shows their digits. */
function parse(text) {
  return JSON.parse(text, (_, value, context) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
      ? BigInt(context.source) : value);
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: 'same-origin', cache: 'no-store', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    watchers.forEach(watcher => watcher(false));
    throw new ApiError('The node does not answer', 'It is stopped or cannot be reached from here. This page tries again by itself where it shows live values.', 0);
  }
  const gone = [502, 503, 504].includes(answer.status);
  watchers.forEach(watcher => watcher(!gone));
  const date = Date.parse(answer.headers.get('date') ?? '');
  // The header is cut to seconds, and the answer took a moment.
  if (Number.isFinite(date)) ahead = Math.abs(Date.now() - date) > 2500 ? Date.now() - date - 500 : 0;
  const text = await answer.text();
  let body = text;
  try { body = parse(text); } catch { /* some answers are plain text */ }
  if (!answer.ok) {
    const said = body && typeof body === 'object' ? body.error : text.slice(0, 2000);
    const title = answer.status === 401 || answer.status === 403
      ? 'You are not signed in for this' : 'The node refused (' + answer.status + ')';
    const remedy = answer.status === 401 ? ' Load the page again to sign in.' : '';
    throw new ApiError(title, (said || answer.statusText) + remedy, answer.status);
  }
  return body;
}

const part = encodeURIComponent;
const tail = params => {
  const set = Object.entries(params).filter(([, value]) => value !== undefined && value !== '');
  return set.length ? '?' + new URLSearchParams(set) : '';
};
const post = (path, body, options = {}) => ask(path, {
  method: 'POST', headers: { 'Content-Type': 'application/json' }, body, ...options,
});

/** Answers a query as it is; exceptions are in the answer. */
export function query(sql, { options, signal } = {}) {
  return post('sql', JSON.stringify({ sql, queryOptions: options }), { signal });
}

/** The rows of a query as objects; an exception is thrown. */
export async function rows(sql, { signal } = {}) {
  const answer = await query(sql, { signal });
  const [exception] = answer.exceptions;
  if (exception && !answer.resultTable) throw new ApiError('The query failed', exception.message, exception.errorCode);
  const names = answer.resultTable.dataSchema.columnNames;
  return answer.resultTable.rows.map(row => Object.fromEntries(names.map((name, at) => [name, row[at]])));
}

/** Text as a literal of SQL. */
export const literal = text => "'" + text.replaceAll("'", "''") + "'";

export const words = () => ask('console/words.json', { cache: 'default' });
export const version = signal => ask('version', { signal });
export const tables = async signal => (await ask('tables', { signal })).tables;
export const schema = (table, signal) => ask(`tables/${part(table)}/schema`, { signal });
export const tableConfig = (table, signal) => ask(`tableConfigs/${part(table)}`, { signal });
export const partitions = (table, signal) => ask(`tables/${part(table)}/partitions`, { signal });
export const allPartitions = (most, signal) => rows(`SELECT * FROM system.partitions ORDER BY "table", topic, "partition" LIMIT ${most}`, { signal });
export const pauseStatus = (table, signal) => ask(`tables/${part(table)}/pauseStatus`, { signal });
export const pause = (table, which) => post(`tables/${part(table)}/pauseConsumption` + tail(which));
export const resume = (table, which) => post(`tables/${part(table)}/resumeConsumption` + tail(which));
export const quarantine = (table, which, signal) => ask(`tables/${part(table)}/quarantine` + tail(which), { signal });
export const dropQuarantined = (table, which) => ask(`tables/${part(table)}/quarantine` + tail(which), { method: 'DELETE' });
export const replay = (table, which) => post(`tables/${part(table)}/quarantine/replay` + tail(which));
export const forceCommit = table => post(`tables/${part(table)}/forceCommit`);
