/** A share between 0 and 1 as a small picture: its interval as a bar, itself as a stroke. The words beside it say the same. */

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 100;
const HEIGHT = 12;

/** @param {number} share @param {[number, number] | null} interval @param {number} [middle] Where a thin line stands. */
export function intervalBar(share, interval, middle) {
  const svg = make('svg', { class: 'interval-bar', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, 'aria-hidden': 'true', preserveAspectRatio: 'none' });
  svg.append(make('rect', { class: 'bar-all', x: 0, y: HEIGHT / 2 - 1, width: WIDTH, height: 2 }));
  if (middle !== undefined) svg.append(stroke('bar-middle', middle));
  if (interval) {
    const [low, high] = interval.map((value) => value * WIDTH);
    svg.append(make('rect', { class: 'bar-interval', x: low, y: 3, width: Math.max(high - low, 1), height: HEIGHT - 6 }));
  }
  svg.append(stroke('bar-share', share));
  return svg;
}

/** @param {string} kind @param {number} share */
function stroke(kind, share) {
  const x = share * WIDTH;
  return make('line', { class: kind, x1: x, x2: x, y1: 0, y2: HEIGHT });
}

/** @param {string} tag @param {Record<string, string | number>} attributes */
function make(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}
