// A small line over the last minutes, drawn in SVG. Its numbers stand beside it as text: a picture alone tells nobody enough.

import { el, fill } from './dom.js';
import { span } from './format.js';

const SVG = 'http://www.w3.org/2000/svg';
const [WIDTH, HEIGHT] = [300, 64];

function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// A young chart is as wide as what it knows, so that a line is seen after a few seconds; it grows by these steps.
const STEPS = [30_000, 60_000, 120_000];

/** A chart with `update(samples)`; a sample is `{ at, value }`, a value of null is a gap. `windowMs` is its greatest width in time. */
export function chart({ title, about, show, windowMs }) {
  const line = svg('path', { class: 'line', 'vector-effect': 'non-scaling-stroke' });
  const area = svg('path', { class: 'area' });
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
  picture.append(area, line);
  const now = el('span.now', {}, '–');
  const most = el('span.most');
  const since = el('span');
  const ago = ms => span(ms).replace(' 0 s', '').replace('.0 s', ' s') + ' ago';
  const node = el('figure.chart', {},
    el('figcaption', { title: about }, el('span', {}, title), now),
    el('div.plot', {}, picture, most),
    el('div.axis', {}, since, el('span', {}, 'now')));
  node.update = (samples, at) => {
    const inside = samples.filter(sample => sample.at >= at - windowMs);
    const values = inside.map(sample => sample.value).filter(value => value !== null);
    const top = Math.max(1, ...values) * 1.08;
    const known = inside.length ? at - inside[0].at : 0;
    const width = STEPS.find(step => known <= step && step < windowMs) ?? windowMs;
    const x = sample => ((sample.at - at + width) / width * WIDTH).toFixed(1);
    const y = sample => (HEIGHT - 1 - sample.value / top * (HEIGHT - 3)).toFixed(1);
    let path = '';
    let fields = '';
    let run = [];
    const end = () => {
      if (run.length) {
        const points = run.map(sample => `${x(sample)} ${y(sample)}`);
        path += 'M' + points.join('L') + (run.length === 1 ? 'h-3' : '');
        fields += `M${x(run[0])} ${HEIGHT}L` + points.join('L') + `L${x(run.at(-1))} ${HEIGHT}Z`;
      }
      run = [];
    };
    for (const sample of inside) sample.value === null ? end() : run.push(sample);
    end();
    line.setAttribute('d', path);
    area.setAttribute('d', fields);
    const last = inside.at(-1)?.value ?? null;
    const greatest = values.length ? Math.max(...values) : null;
    fill(since, ago(width));
    fill(now, last === null ? '–' : show(last));
    fill(most, greatest === null ? '' : 'most ' + show(greatest));
    picture.setAttribute('aria-label', last === null ? `${title}: not known yet`
      : `${title}: ${show(last)} now, ${show(greatest)} at most in the last minutes`);
  };
  return node;
}
