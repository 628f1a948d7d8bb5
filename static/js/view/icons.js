/** Our own line icons on a 16 by 16 grid, in the colour of the text. */

const PATHS = {
  about: 'M8 2a6 6 0 1 0 .01 0M8 7.5V11M8 5h.01',
  add: 'M8 3v10M3 8h10',
  check: 'M3 8.5 6.5 12 13 4.5',
  close: 'M4 4l8 8M12 4l-8 8',
  common: 'M3 4.5h10M3 8h10M3 11.5h6',
  copy: 'M6 6h7.5v7.5H6zM3.5 10h-1V2.5H10v1',
  down: 'M3.5 6 8 10.5 12.5 6',
  expand: 'M9.5 3H13v3.5M13 3 9 7M6.5 13H3V9.5M3 13l4-4',
  edit: 'M3 13l.6-2.8L11 2.8l2.2 2.2-7.4 7.4z',
  left: 'M10 3.5 5.5 8l4.5 4.5',
  link: 'M6.5 9.5l3-3M5 7 3.4 8.6a2.8 2.8 0 0 0 4 4L9 11M7 5l1.6-1.6a2.8 2.8 0 0 1 4 4L11 9',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  on: 'M3 8h9.5M8.5 4l4 4-4 4',
  raw: 'M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5',
  retry: 'M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3',
  right: 'M6 3.5 10.5 8 6 12.5',
  send: 'M8 13V3M3.5 7.5 8 3l4.5 4.5',
  stop: 'M4.5 4.5h7v7h-7z',
  sure: 'M3 13V9.5M6.5 13V3M10 13V7M13.5 13v-2',
  start: 'M5.5 3.5v9l7-4.5z',
  up: 'M3.5 10 8 5.5l4.5 4.5',
};

const SVG = 'http://www.w3.org/2000/svg';

/** @typedef {keyof typeof PATHS} IconName */

/** @param {IconName} name */
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
