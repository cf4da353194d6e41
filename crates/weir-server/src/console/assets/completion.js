// What a word of SQL may go on with: columns of the tables that the text names, tables, functions, words of the language.

import * as api from './api.js';

const SQL = ('SELECT FROM WHERE GROUP_BY HAVING ORDER_BY LIMIT OFFSET DISTINCT AND OR NOT IN BETWEEN LIKE IS_NULL IS_NOT_NULL AS ASC ' +
  'DESC CASE WHEN THEN ELSE END CAST JOIN LEFT_JOIN ON UNION_ALL WITH SET EXPLAIN_PLAN_FOR TRUE FALSE NULL INTERVAL').split(' ')
  .map(word => word.replaceAll('_', ' '));
/** Suggestions that are shown. */
const MOST = 12;
/** Tables whose columns are fetched though the text does not name them. */
const MOST_TABLES = 30;

const plain = /^[A-Za-z_][A-Za-z0-9_]*$/;
const quoted = name => (plain.test(name) && !/^(offset|table|partition|order|group|timestamp|user|value)$/i.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

/** The catalog as completion needs it. Columns come as they are needed and are kept. */
export class Words {
  tables = [];
  columns = new Map();
  fixed = { functions: [], aggregates: [], system: [] };

  async load(signal) {
    const [fixed, tables] = await Promise.all([api.words(), api.tables(signal)]);
    this.fixed = fixed;
    this.tables = tables;
    fixed.system.forEach(({ name, columns }) => this.columns.set(name, columns.map(column => ({ name: column, type: 'system' }))));
    await Promise.all(tables.slice(0, MOST_TABLES).map(table => this.fetch(table, signal)));
  }

  async fetch(table, signal) {
    if (this.columns.has(table)) return;
    try {
      this.columns.set(table, columnsOf(await api.schema(table, signal)));
    } catch { /* dropped meanwhile, or not to be reached: then without */ }
  }

  /** Names of all tables, those of the system last. */
  names() {
    return [...this.tables, ...this.fixed.system.map(({ name }) => name)];
  }

  /** `{ from, offers: [{ text, what }] }` for the word that ends at `at`; all that fits where it is empty and `asked`. */
  complete(text, at, asked) {
    const begun = /[\w$.]*$/.exec(text.slice(0, at))[0];
    const from = at - begun.length;
    if (!begun && !asked) return { from, offers: [] };
    const wanted = begun.toLowerCase();
    const named = this.names().filter(table => mentions(text, table));
    named.forEach(table => this.fetch(table));
    const offers = new Map();
    const offer = (word, insert, what) => {
      if (word.toLowerCase().startsWith(wanted) && !offers.has(insert) && offers.size < 200) offers.set(insert, { text: insert, what });
    };
    const tablesNow = /\b(from|join)\s+[\w$.]*$/i.test(text.slice(0, at));
    const allTables = () => this.names().forEach(table => offer(table, table, 'table'));
    if (tablesNow) allTables();
    for (const table of named.length ? named : this.tables) {
      for (const { name, type } of this.columns.get(table) ?? []) offer(name, quoted(name), type);
    }
    if (!tablesNow) allTables();
    if (begun) {
      SQL.forEach(word => offer(word, word, 'SQL'));
      this.fixed.aggregates.forEach(name => offer(name, name + '(', 'aggregate'));
      this.fixed.functions.forEach(name => offer(name, name + '(', 'function'));
    }
    const list = [...offers.values()];
    // A word that is whole needs no suggestion of itself.
    if (list.length === 1 && list[0].text.toLowerCase() === wanted) return { from, offers: [] };
    return { from, offers: list.slice(0, MOST) };
  }
}

function mentions(text, table) {
  const name = table.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(^|[^\\w$.])${name}($|[^\\w$])`, 'i').test(text);
}

/** Columns of a schema: name, type, role. */
export function columnsOf(schema) {
  const lists = [['dimensionFieldSpecs', 'dimension'], ['metricFieldSpecs', 'metric'], ['dateTimeFieldSpecs', 'time'], ['complexFieldSpecs', 'complex']];
  return lists.flatMap(([key, role]) => (schema[key] ?? []).map(field => ({
    name: field.name, role, type: field.dataType + (field.singleValueField === false ? '[]' : ''), field,
  })));
}
