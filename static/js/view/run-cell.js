/** A cell of a run's grid: how the answer begins, a sign and words for what its checks say, its time, an error's code. */

import { h } from './element.js';
import { icon } from './icons.js';
import { briefly, errorTitle, sentence } from './labels.js';

/** @import { Mark, Slot } from '../model/run-table.js' */
/** @import { IconName } from './icons.js' */

/** @type {Record<Mark, IconName | null>} */
const ICONS = { passed: 'check', failed: 'close', unsure: 'about', none: null, asking: 'more', waiting: null };

/** @param {Slot} slot @param {string} target Its name, for a page without room for columns. */
export function gridCell({ mark, words, text, code, reason, ms }, target) {
  const sign = ICONS[mark];
  const line = code ? errorTitle(code) : text.trimStart().split('\n', 1)[0];
  return h('div', { role: 'gridcell', class: `grid-cell is-${mark}`, title: reason ? sentence(reason) : null, tabindex: -1 },
    h('span', { class: 'grid-text', dir: 'auto' }, h('bdi', { class: 'grid-label' }, `${target}:`), ` ${line}`),
    h('span', { class: 'grid-state' }, ...(sign ? [icon(sign)] : []), h('span', { class: 'grid-words' }, words),
      ...(code ? [h('code', {}, code)] : []), ...(ms === null ? [] : [h('span', { class: 'grid-time' }, briefly(ms))])));
}
