/** A ranking as tables: how often each target would win, how sure that is, and what it is made of. */

import { expectedWinsWords, groupsOf, intervalWords, standingWords } from '../model/run-ranking.js';
import { h } from './element.js';

/** @import { Rank } from '../client/run-assessments.js' */

const HEADINGS = ['Target', 'Expected wins', '95 % interval', 'Won', 'Lost', 'Tied'];

/** @param {Rank[]} ranking @param {string[]} names By target. @param {string} label */
export function rankingView(ranking, names, label) {
  const groups = groupsOf(ranking);
  return h('div', { class: 'run-ranking' },
    ...groups.flatMap((group, index) => [
      ...(index ? [h('p', { class: 'field-hint' }, 'These were never compared with those above:')] : []),
      table(group, names, groups.length > 1 ? `${label} ${index + 1}` : label),
      h('p', { dir: 'auto' }, standingWords(group, names)),
    ]),
    h('p', { class: 'field-hint' }, 'Expected wins: how often it would be the better one of two, the other of average strength.',
      ...(ranking.some(({ regularised }) => regularised) ? [' Somebody never lost or never won, so distances are cautious.'] : [])));
}

/** @param {Rank[]} group @param {string[]} names @param {string} label */
function table(group, names, label) {
  return h('div', { class: 'summary-table', tabindex: 0, role: 'region', 'aria-label': label },
    h('table', {}, h('thead', {}, h('tr', {}, ...HEADINGS.map((name) => h('th', { scope: 'col' }, name)))),
      h('tbody', {}, ...group.map((rank) => h('tr', {}, h('th', { scope: 'row', dir: 'auto' }, names[rank.target]),
        ...[expectedWinsWords(rank) || '–', intervalWords(rank) || '–', ...[rank.wins, rank.losses, rank.ties].map(String)].map((words) => h('td', {}, words)))))));
}
