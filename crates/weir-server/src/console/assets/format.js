// Numbers, times, bytes and results as text. Whole numbers beyond 2^53 come as BigInt and stay exact.

const GROUPS = new Intl.NumberFormat('en', { maximumFractionDigits: 3 });

/** A count with its thousands set apart. */
export function count(value) {
  return value === null || value === undefined ? '–' : GROUPS.format(value).replaceAll(',', '\u202f');
}

/** Bytes in the unit that fits. */
export function bytes(value) {
  if (value === null || value === undefined) return '–';
  let number = Number(value);
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (number < 1024) return (unit === 'B' ? number : number.toFixed(number < 10 ? 1 : 0)) + ' ' + unit;
    number /= 1024;
  }
  return number.toFixed(1) + ' TiB';
}

/** A length of time given in milliseconds. */
export function span(ms) {
  if (ms === null || ms === undefined) return '–';
  const number = Math.max(0, Number(ms));
  if (number < 1000) return Math.round(number) + ' ms';
  if (number < 60e3) return (number / 1000).toFixed(1) + ' s';
  const seconds = Math.round(number / 1000);
  if (seconds < 3600) return Math.floor(seconds / 60) + ' min ' + seconds % 60 + ' s';
  const minutes = Math.round(number / 60e3);
  if (minutes < 48 * 60) return Math.floor(minutes / 60) + ' h ' + minutes % 60 + ' min';
  return Math.round(number / 86400e3) + ' days';
}

/** So many per second. */
export function rate(value) {
  return value === null || value === undefined ? '–' : count(value < 10 ? Math.round(value * 10) / 10 : Math.round(value)) + '/s';
}

/** A moment of wall time, in the browser's zone, to the second. */
export function moment(ms) {
  if (!ms) return '–';
  const date = new Date(Number(ms));
  const two = number => String(number).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** JSON text of a value, BigInt included, which `JSON.stringify` refuses. */
export function json(value, indent = 0, at = 0) {
  if (typeof value === 'bigint') return value.toString();
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null);
  const list = Array.isArray(value);
  const parts = list ? value.map(item => json(item, indent, at + indent))
    : Object.entries(value).map(([key, item]) => JSON.stringify(key) + (indent ? ': ' : ':') + json(item, indent, at + indent));
  const [open, close] = list ? '[]' : '{}';
  if (!parts.length) return open + close;
  if (!indent) return open + parts.join(',') + close;
  const line = '\n' + ' '.repeat(at + indent);
  return open + line + parts.join(',' + line) + '\n' + ' '.repeat(at) + close;
}

/** A cell as one line of text. */
export function cell(value) {
  if (value === null || value === undefined) return 'null';
  return typeof value === 'object' ? json(value) : String(value);
}

/** Rows as CSV (RFC 4180); null is an empty field. */
export function csv(names, rows) {
  const field = value => {
    const text = value === null || value === undefined ? '' : cell(value);
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  return [names, ...rows].map(row => row.map(field).join(',')).join('\r\n') + '\r\n';
}

/** Bytes of base64 text. */
export function fromBase64(text) {
  return Uint8Array.from(atob(text ?? ''), char => char.charCodeAt(0));
}

/** Bytes as lines of offset, sixteen numbers, and what of them is printable. */
export function hex(data, most) {
  const lines = [];
  for (let at = 0; at < Math.min(data.length, most); at += 16) {
    const part = [...data.slice(at, Math.min(at + 16, most))];
    const digits = part.map(byte => byte.toString(16).padStart(2, '0')).join(' ');
    const seen = part.map(byte => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : '.')).join('');
    lines.push(at.toString(16).padStart(6, '0') + '  ' + digits.padEnd(48) + ' ' + seen);
  }
  return lines.join('\n');
}

/** `1 row`, `2 rows`. */
export function plural(number, word, many = word + 's') {
  return count(number) + ' ' + (Number(number) === 1 ? word : many);
}
