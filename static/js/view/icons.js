/** Small line drawings of our own, on a 16 by 16 grid; they take the colour of the text. */

const PATHS = {
  send: 'M8 13V3M3.5 7.5 8 3l4.5 4.5',
  copy: 'M6 6h7.5v7.5H6zM3.5 10h-1V2.5H10v1',
  stop: 'M4.5 4.5h7v7h-7z',
  start: 'M5.5 3.5v9l7-4.5z',
};

const SVG = 'http://www.w3.org/2000/svg';

/** @param {keyof typeof PATHS} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', `icon icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}
