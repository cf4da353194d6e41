// What the partitions are doing, kept for the charts: a bounded history of one sample for each look.

import * as api from './api.js';

/** The charts show this much; samples beyond it are let go. */
export const WINDOW_MS = 5 * 60 * 1000;
/** A look a second: a person sees no more, and the node answers it in some milliseconds. */
export const EVERY_MS = 1000;
/** Samples of a history at most: twice what a window holds. */
const MOST_SAMPLES = 600;
/** Partitions that one look reads at most: beyond them a page would be of no use. */
export const MOST_PARTITIONS = 2000;
/** A rate between looks that lie further apart says nothing about now. */
const STALE_MS = 30000;
/** Histories that are kept while one walks from page to page. */
const MOST_KEPT = 8;

const kept = new Map();

/** The history of a table, or of all for ''. */
export function history(table) {
  const known = kept.get(table) ?? { samples: [], last: null, rates: new Map() };
  kept.delete(table);
  kept.set(table, known);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return known;
}

/** One look: the partitions of a table, or of all. */
export function look(table, signal) {
  return table ? api.partitions(table, signal) : api.allPartitions(MOST_PARTITIONS, signal);
}

/** What names a partition. */
export const keyOf = row => `${row.table}/${row.topic}/${row.partition}`;

/** Adds a look to a history: rates come from the difference to the one before. */
export function note(known, partitions, at) {
  const counts = new Map(partitions.map(row => [keyOf(row), { fetched: Number(row.fetched), bytes: Number(row.bytes) }]));
  const seconds = known.last && at - known.last.at < STALE_MS ? (at - known.last.at) / 1000 : 0;
  known.rates = new Map();
  let [messages, some] = [0, false];
  if (seconds > 0) {
    for (const [key, now] of counts) {
      const before = known.last.counts.get(key);
      if (!before || now.fetched < before.fetched) continue;
      const rate = (now.fetched - before.fetched) / seconds;
      known.rates.set(key, { messages: rate, bytes: Math.max(0, now.bytes - before.bytes) / seconds });
      messages += rate;
      some = true;
    }
  }
  const lags = partitions.map(row => row.lagOffsets).filter(lag => lag !== null).map(Number);
  const sum = lags.length ? lags.reduce((a, b) => a + b, 0) : null;
  const read = partitions.filter(row => row.state !== 'GONE');
  const behind = read.length ? Math.max(...read.map(row => Number(row.lagMs))) : null;
  const gap = known.last && at - known.last.at >= STALE_MS;
  if (gap) known.samples.push({ at: at - 1, rate: null, lag: null, behind: null });
  known.samples.push({ at, rate: some ? messages : null, lag: sum, behind });
  known.last = { at, counts };
  while (known.samples.length > MOST_SAMPLES || known.samples[0]?.at < at - WINDOW_MS) known.samples.shift();
}
