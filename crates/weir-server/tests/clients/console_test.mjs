// The console in a real browser, against a node on the built-in log: what somebody does there with keys and clicks, and
// what holds on every page (names, contrast, width, no other host, no error).
//
// WEIR_BINARY names the binary, WEIR_BROWSER the browser (scripts/browser.sh path), WEIR_BROWSER_MODULES the folder of
// playwright-core (scripts/browser.sh modules). Starts a node of its own on free ports and ends it. Exit code 0 if all
// holds; where something does not, a picture of the page stays in the folder of temporary files.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer, request as forward } from 'node:http';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const setting = name => process.env[name] ?? assert.fail(`${name} is not set: ./dev test sets it`);
const { chromium } = createRequire(import.meta.url)(join(setting('WEIR_BROWSER_MODULES'), 'playwright-core'));

/** Far above what anything here takes, so that a slow machine does not fail. */
const DEADLINE = 60000;
/** Rows whose threefold join runs for minutes: long enough to be cancelled, on any machine. */
const ROWS = 3000;
/** Records in quarantine: more than the 50 of one page. */
const REJECTS = 60;
/** What a record holds that would run, were it read as markup. */
const MARKUP = '<img src="x" onerror="window.hit = 1"><b>bold</b>';

/** Tries until nothing is thrown; the last reason is told at the deadline. */
async function eventually(what, attempt) {
  const until = Date.now() + DEADLINE;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > until) throw new Error(`${what} did not come: ${error.message}`, { cause: error });
    }
    await new Promise(done => setTimeout(done, 20));
  }
}

async function startNode() {
  const dir = mkdtempSync(join(tmpdir(), 'weir-console-'));
  const ports = ['--controller-port', '0', '--broker-port', '0'];
  const child = spawn(setting('WEIR_BINARY'), ['start', ...ports, '--data-dir', join(dir, 'data')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise(done => child.once('exit', (code, signal) => done(code ?? signal)));
  const addresses = {};
  let ready = false;
  for await (const line of createInterface({ input: child.stdout })) {
    const [name, address] = line.split(/\s+/);
    if (name === 'ready') { ready = true; break; }
    addresses[name] = address;
  }
  if (!ready) assert.fail(`the node ended before it was ready: ${await ended}`);
  child.stdout.resume();
  const base = addresses.controller;
  const send = async (method, path, body, type = 'application/json') => {
    const answer = await fetch(base + path, { method, headers: { 'Content-Type': type }, body: JSON.stringify(body) });
    const text = await answer.text();
    assert.equal(answer.status, 200, `${method} ${path}: ${text}`);
    return JSON.parse(text);
  };
  const produce = (values, kind = 'json') =>
    send('POST', '/topics/orders', { records: values.map(value => ({ value })) }, `application/vnd.kafka.${kind}.v2+json`);
  const stop = async () => {
    child.kill('SIGTERM');
    const code = await ended;
    rmSync(dir, { recursive: true });
    assert.equal(code, 0, `the node ended with ${code}`);
  };
  return { base, send, produce, stop };
}

const row = (id, country = 'DE') => ({ id, country, amount: id / 2, ts: '2026-01-01 00:00:00.0' });
const table = lenient => {
  const document = JSON.parse(readFileSync(new URL('../../../../examples/orders-local.json', import.meta.url), 'utf8'));
  if (lenient) document.realtime.ingestionConfig.continueOnError = true;
  return document;
};
/** The stream map of a table. */
const maps = document => document.realtime.ingestionConfig?.streamIngestionConfig?.streamConfigMaps[0] ?? document.realtime.tableIndexConfig.streamConfigs;
const digits = text => Number(text.replace(/\D/g, ''));

const node = await startNode();
const browser = await chromium.launch({
  executablePath: setting('WEIR_BROWSER'),
  args: ['--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, permissions: ['clipboard-read', 'clipboard-write'] });
const bad = [];
/** Where the console is; nothing else may be asked. */
let home = node.base + '/';
context.on('request', request => { if (!request.url().startsWith(home)) bad.push(`asked outside: ${request.url()}`); });
const page = await context.newPage();
page.setDefaultTimeout(DEADLINE);
page.on('console', message => { if (['error', 'warning'].includes(message.type())) bad.push(`${message.type()}: ${message.text()}`); });
page.on('pageerror', error => bad.push(`thrown: ${error.message}`));

const field = page.getByRole('textbox', { name: 'SQL' });
const button = (name, within = page) => within.getByRole('button', { name, exact: true });
const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
/** Copies by a button and gives what the clipboard holds. */
async function copied(name) {
  await page.evaluate(() => navigator.clipboard.writeText('before'));
  await button(name).click();
  return eventually(name, async () => {
    const text = await clipboard();
    assert.notEqual(text, 'before');
    return text;
  });
}
const kept = async (term = 'In quarantine') => digits(await page.locator('#counts div').filter({ hasText: term }).locator('dd').innerText());
/** Types a query in place of what is there and runs it, by keys alone. */
async function ask(sql) {
  await field.focus();
  await page.keyboard.press('Control+A');
  await page.keyboard.type(sql);
  await page.keyboard.press('Control+Enter');
}

async function emptyNode() {
  await page.goto(node.base + '/');
  await page.getByText('has no table yet').waitFor();
}

async function queryByKeys() {
  await node.send('POST', '/tableConfigs', table(false));
  await node.produce([row(1, MARKUP), row(2, 'a "quoted", text')]);
  await page.keyboard.press('g');
  await page.keyboard.press('q');
  await eventually('the first query', async () => assert.equal(await field.inputValue(), 'SELECT * FROM orders LIMIT 20'));
  // It is a proposal, which typing replaces.
  await page.keyboard.type('SELECT id, country FROM ord');
  await page.locator('#offers li').first().waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.type(' ORDER BY id LIMIT 5');
  const cells = page.locator('.answer tbody td');
  await eventually('both rows', async () => {
    await page.keyboard.press('Control+Enter');
    await button('Run').and(page.locator(':enabled')).waitFor();
    assert.deepEqual(await cells.allTextContents(), ['1', MARKUP, '2', 'a "quoted", text']);
  });
  const sql = 'SELECT id, country FROM orders ORDER BY id LIMIT 5';
  assert.equal(await field.inputValue(), sql);
  assert.equal(new URL(page.url()).hash.slice(2), 'query?' + new URLSearchParams({ sql }));
  assert.deepEqual(await page.locator('.answer thead th').allTextContents(), ['idLONG', 'countrySTRING']);
  assert.equal(await page.locator('.answer tbody :is(img, b)').count(), 0, 'text of a record became markup');

  const lines = (await copied('Copy CSV')).trim().split(/\r?\n/);
  assert.deepEqual(lines, ['id,country', `1,"${MARKUP.replaceAll('"', '""')}"`, '2,"a ""quoted"", text"']);
  const rows = JSON.parse(await copied('Copy JSON'));
  assert.deepEqual(rows, [{ id: 1, country: MARKUP }, { id: 2, country: 'a "quoted", text' }]);

  const link = await copied('Copy link');
  const wrong = 'SELECT absent FROM orders ';
  await ask(wrong);
  await page.locator('.box.bad').waitFor();
  await button('Show the place').click();
  assert.equal(await field.evaluate(area => area.value.slice(area.selectionStart, area.selectionEnd)), 'absent');

  const draft = 'SELECT 1 ';
  await page.keyboard.press('Control+A');
  await page.keyboard.type(draft);
  for (const [key, text] of [['Up', wrong.trim()], ['Up', sql], ['Down', wrong.trim()], ['Down', draft]]) {
    await page.keyboard.press('Alt+Arrow' + key);
    assert.equal(await field.inputValue(), text, `after Alt ${key}`);
  }
  await page.goto('about:blank');
  await page.goto(link);
  await eventually('the query of the link', async () => assert.equal(await field.inputValue(), sql));
  await page.getByText(/^Earlier queries \(2\)$/).click();
  await page.locator('.queries button').filter({ hasText: 'absent' }).click();
  assert.equal(await field.inputValue(), wrong.trim());
}

/** Heads sort numbers as numbers, whichever way, what is not known last; a value that cannot be computed of is told. */
async function sortedAnswers() {
  await page.goto(node.base + '/#/query');
  const numbers = ['9.75', '-3', '10.5', '12345678901234567891', '12345678901234567890', '-20.5'];
  const one = number => `SELECT CAST('${number}' AS BIG_DECIMAL) AS n FROM orders WHERE id = 1`;
  await ask(`SET useMultistageEngine=true; ${numbers.map(one).join(' UNION ALL ')} UNION ALL SELECT TRY_CAST('x' AS BIG_DECIMAL) FROM orders WHERE id = 1`);
  const cells = page.locator('.answer tbody td');
  const sorted = ['-20.5', '-3', '9.75', '10.5', '12345678901234567890', '12345678901234567891'];
  await eventually('all numbers', async () => assert.equal(await cells.count(), numbers.length + 1));
  const head = page.locator('.answer thead th button');
  await head.click();
  assert.deepEqual(await cells.allTextContents(), [...sorted, 'null']);
  await head.click();
  assert.deepEqual(await cells.allTextContents(), [...sorted.reverse(), 'null']);
  await ask('SELECT CAST(country AS INT) FROM orders ');
  await page.locator('.box.bad').filter({ hasText: 'TRY_CAST gives null' }).waitFor();
}

async function lagFalls() {
  await page.goto(node.base + '/#/partitions?table=orders');
  const lag = async () => digits(await page.locator('.chart').filter({ hasText: 'Lag' }).locator('.now').innerText());
  await button('Pause the table').press('Enter');
  await page.keyboard.type('a test pauses it');
  await page.keyboard.press('Enter');
  await page.getByText('PAUSED').first().waitFor();
  await node.produce(Array.from({ length: ROWS }, (_, at) => row(at + 10)));
  await eventually('the lag', async () => assert.equal(await lag(), ROWS));
  await button('Resume the table').press('Enter');
  await eventually('the end of the lag', async () => assert.equal(await lag(), 0));
  await page.getByText('CONSUMING').first().waitFor();
}

async function cancelled() {
  await page.goto(node.base + '/#/query');
  await ask('SET useMultistageEngine=true; SET timeoutMs=600000; SELECT SUM(a.id*b.id*c.id) FROM orders a '
    + 'JOIN orders b ON a.id<>b.id+0.5 JOIN orders c ON b.id<>c.id+0.5');
  await page.getByText('running for').waitFor();
  await page.keyboard.press('Escape');
  await page.getByText('Cancelled after').waitFor();
  await ask('SELECT COUNT(*) FROM orders');
  await eventually('an answer after it', async () => assert.equal(digits(await page.locator('.answer tbody td').innerText()), ROWS + 2));
}

async function quarantine() {
  const entries = page.locator('details.entry');
  await page.goto(node.base + '/#/quarantine/orders');
  await page.getByText('Nothing in quarantine').waitFor();
  await node.produce(Array.from({ length: REJECTS }, (_, at) => row(`<b>${at}</b>`)));
  await eventually('the rejects', async () => assert.equal(await kept(), REJECTS));
  await button('Refresh', page.locator('.changed')).click();
  await eventually('a page of them', async () => assert.equal(await entries.count(), 50));
  await button('Show more').click();
  await eventually('the rest', async () => assert.equal(await entries.count(), REJECTS));

  const first = entries.first();
  await first.locator('summary').click();
  const text = await first.getByRole('region', { name: 'Value as text' }).innerText();
  assert.match(JSON.parse(text).id, /^<b>\d+<\/b>$/);
  assert.equal(await entries.locator('b').count(), 0, 'text of a record became markup');
  await first.getByRole('button', { name: /^Drop / }).click();
  await button('Cancel', page.locator('dialog')).click();
  assert.equal(await kept(), REJECTS);
  await first.getByRole('button', { name: /^Drop / }).click();
  await button('Drop', page.locator('dialog')).click();
  await eventually('one less', async () => assert.deepEqual([await kept(), await kept('Dropped')], [REJECTS - 1, 1]));

  // Not mended yet: what is replayed fails as before, and stays.
  await eventually('the list', async () => assert.equal(await entries.count(), 50));
  await entries.first().locator('summary').click();
  await entries.first().getByRole('button', { name: /^Replay / }).click();
  await page.getByText('failed again').first().waitFor();
  await eventually('nothing less', async () => assert.equal(await kept(), REJECTS - 1));

  await node.send('PUT', '/tableConfigs/orders', table(true));
  await eventually('the list', async () => assert.equal(await entries.count(), 50));
  await entries.first().locator('summary').click();
  await entries.first().getByRole('button', { name: /^Replay / }).click();
  await eventually('one replayed', async () => assert.deepEqual([await kept(), await kept('Replayed')], [REJECTS - 2, 1]));
  await button('Replay all').click();
  await page.getByText('1 record rejected and not kept: they were dropped by hand').waitFor();
  await eventually('all replayed', async () => assert.deepEqual([await kept(), await kept('Replayed')], [0, REJECTS - 1]));

  await node.produce([Buffer.from('no JSON').toString('base64'), Buffer.from('{').toString('base64')], 'binary');
  await eventually('what no config mends', async () => assert.equal(await kept(), 2));
  await button('Drop all').click();
  await button('Drop', page.locator('dialog')).click();
  await eventually('all dropped', async () => assert.deepEqual([await kept(), await kept('Dropped')], [0, 3]));
  assert.ok(await button('Replay all').isDisabled());
}

/** What a table drops is rejected and nowhere to be seen: the page says so. */
async function dropped() {
  const document = table(false);
  maps(document)['stream.local.error.policy'] = 'drop';
  await node.send('PUT', '/tableConfigs/orders', document);
  await node.produce([row('no number')]);
  await page.goto(node.base + '/#/tables');
  const rejected = page.locator('tbody a[href="#/quarantine/orders"]');
  // Three were dropped by hand before.
  await eventually('the rejects', async () => assert.equal(await rejected.innerText(), '4'));
  await rejected.click();
  const told = page.locator('.entries .note');
  await eventually('why it is not here', async () => assert.match(await told.innerText(), /^4 records rejected and not kept: the table has error.policy drop/));
}

async function seal() {
  await page.goto(node.base + '/#/tables/orders');
  await button('Seal open segments').click();
  await page.getByText('Sealing was asked for').waitFor();
  await eventually('a sealed segment', async () => {
    await page.reload();
    await page.getByText('Sealed because').waitFor();
    assert.ok(await page.getByText('forceCommitMessageReceived').count() > 0);
  });
  assert.equal(JSON.parse(await copied('Copy')).tableName, 'orders');
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
  await page.keyboard.press('Escape');
}

/** Runs in the page: texts whose contrast to what lies behind them is below 4.5, as the browser draws the colours. */
function faint() {
  const pen = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
  const read = colour => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const behind = node => {
    const own = read(getComputedStyle(node).backgroundColor);
    if (own[3] === 1) return own;
    return over(own, node.parentElement ? behind(node.parentElement) : [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(part => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const found = [];
  let looked = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    // What cannot be pressed is drawn pale by intent; what only screen readers read has no colour.
    if (!walk.currentNode.data.trim() || node.closest(':disabled, .hidden, .skip, noscript, [hidden]') || !node.checkVisibility({ visibilityProperty: true })) continue;
    const back = behind(node);
    const [a, b] = [light(over(read(getComputedStyle(node).color), back)), light(back)].sort((x, y) => y - x);
    looked += 1;
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${walk.currentNode.data.trim().slice(0, 30)}: ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return { found, looked };
}

/** Runs in the page: what lies beyond its right edge, where it scrolls sideways. */
function wide() {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  const out = [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > clientWidth + 0.5);
  return [`${scrollWidth} > ${clientWidth}`, ...out.slice(0, 5).map(one => `${one.tagName}.${one.className}`)];
}

/** Controls without a name, in the words of the browser's own tree for screen readers. */
async function nameless() {
  const session = await context.newCDPSession(page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  await session.detach();
  const roles = ['button', 'link', 'textbox', 'searchbox', 'combobox', 'listbox', 'region', 'dialog', 'table'];
  const controls = nodes.filter(one => !one.ignored && roles.includes(one.role?.value));
  assert.ok(controls.length > 5, `${controls.length} controls`);
  return controls.filter(one => !one.name?.value?.trim()).map(one => one.role.value);
}

async function everyPage() {
  // Something of everything that a page can show: rejects, a refused query, an open entry.
  await node.send('PUT', '/tableConfigs/orders', table(false));
  await node.produce([row('no number')]);
  const pages = [
    ['', page.locator('.tile').first()],
    ['query?' + new URLSearchParams({ sql: 'SELECT id, country FROM orders' }), field],
    ['query?' + new URLSearchParams({ sql: 'SELECT absent FROM orders' }), field],
    ['tables', page.locator('tbody a').first()], ['tables/orders', page.getByText('Sealed because')],
    ['partitions?table=orders', page.locator('tbody .badge').first()], ['partitions', page.locator('tbody .badge').first()],
    ['quarantine', page.locator('tbody a').first()], ['quarantine/orders', page.locator('details.entry').first()],
  ];
  for (const [path, there] of pages) {
    await page.goto('about:blank');
    await page.goto(`${node.base}/#/${path}`);
    if (path === 'quarantine/orders') {
      await eventually('the reject', async () => assert.equal(await kept(), 1));
      if (await page.locator('.changed').count()) await button('Refresh', page.locator('.changed')).click();
    }
    await there.waitFor();
    if (path.startsWith('query?')) {
      await button('Run').click();
      await page.locator('.answer').waitFor();
    }
    if (path === 'quarantine/orders') await there.locator('summary').click();
    for (const [width, colorScheme] of [[360, 'light'], [360, 'dark'], [820, 'light'], [1440, 'dark']]) {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      const where = `#/${path} at ${width} px, ${colorScheme}`;
      const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor !== 'rgb(250, 250, 248)');
      assert.equal(dark, colorScheme === 'dark', where);
      assert.deepEqual(await page.evaluate(wide), [], `${where} scrolls sideways`);
      const { found, looked } = await page.evaluate(faint);
      assert.ok(looked > 8, `${where}: ${looked} texts`);
      assert.deepEqual(found, [], `${where}: contrast`);
      assert.deepEqual(await nameless(), [], `${where}: controls without a name`);
      if (path === '') {
        const gaps = await page.evaluate(() => {
          const edge = document.querySelector('.tiles').getBoundingClientRect().right;
          const lines = new Map();
          for (const tile of document.querySelectorAll('.tile')) {
            const { top, right } = tile.getBoundingClientRect();
            lines.set(top, Math.max(lines.get(top) ?? 0, right));
          }
          return [...lines.values()].map(right => Math.round(edge - right));
        });
        assert.ok(gaps.length > 0 && gaps.every(gap => gap === 0), `${where}: lines of tiles end ${gaps} px before the edge`);
      }
    }
  }
}

/** A proxy that serves the node below a folder, to those alone who signed in. */
async function belowAProxy() {
  let strangers = 0;
  const proxy = createServer((asked, answer) => {
    const inside = asked.url.startsWith('/weir/') && asked.headers.cookie === 'session=signed-in';
    if (!inside) { strangers += 1; answer.writeHead(403).end(); return; }
    const passed = forward(node.base + asked.url.slice('/weir'.length), { method: asked.method, headers: asked.headers }, got => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    passed.on('error', () => answer.destroy());
    asked.pipe(passed);
  });
  await new Promise(done => proxy.listen(0, '127.0.0.1', done));
  const origin = `http://127.0.0.1:${proxy.address().port}`;
  await context.addCookies([{ name: 'session', value: 'signed-in', url: origin, httpOnly: true }]);
  await page.goto('about:blank');
  home = origin + '/weir/';
  try {
    await page.goto(home);
    await page.locator('.tile').first().waitFor();
    await page.getByRole('link', { name: 'Query', exact: true }).click();
    await ask('SELECT COUNT(*) FROM orders');
    await eventually('an answer', async () => assert.equal(digits(await page.locator('.answer tbody td').innerText()), ROWS + REJECTS + 1));
    await page.getByRole('link', { name: 'Partitions', exact: true }).click();
    await page.locator('tbody .badge').first().waitFor();
    await page.goto('about:blank');
  } finally {
    home = node.base + '/';
    proxy.closeAllConnections();
    proxy.close();
  }
  assert.equal(strangers, 0, 'requests outside of the folder, or without the cookie');
}

let failed = null;
try {
  for (const step of [emptyNode, queryByKeys, sortedAnswers, lagFalls, cancelled, quarantine, dropped, seal, belowAProxy, everyPage]) {
    console.log(step.name);
    await step();
    assert.deepEqual(bad, [], step.name);
    assert.equal(await page.evaluate(() => window.hit), undefined, `${step.name}: a record ran as a script`);
  }
} catch (error) {
  failed = error;
  const picture = join(tmpdir(), 'weir-console-failed.png');
  await page.screenshot({ path: picture, fullPage: true }).then(() => console.error(`the page as it was: ${picture}`), () => {});
  if (bad.length) console.error(bad);
}
await browser.close();
await node.stop().catch(error => { failed ??= error; });
if (failed) throw failed;
