/** Who voted on a run, by the names of keys: what it is made of in a sentence, and a table where there are several. */

import { madeOf, voterName } from '../model/run-rates.js';
import { h } from './element.js';

/** @import { RunVoter } from '../client/runs.js' */

/** @param {RunVoter[]} voters One or more. @param {boolean} [open] Who they are is unfolded. @returns {HTMLElement[]} */
export function votersView(voters, open = false) {
  const made = h('p', { class: 'field-hint', dir: 'auto' }, `Made of ${madeOf(voters)}.`);
  if (voters.length < 2) return [made];
  return [made, h('details', { class: 'run-voters', open }, h('summary', {}, 'Who voted'),
    h('div', { class: 'summary-table', tabindex: 0, role: 'region', 'aria-label': 'Who voted' },
      h('table', {}, h('thead', {}, h('tr', {}, ...['Voter', 'Votes', 'Blind'].map((name) => h('th', { scope: 'col' }, name)))),
        h('tbody', {}, ...voters.map((voter) => h('tr', {}, h('th', { scope: 'row', dir: 'auto' }, voterName(voter)),
          ...[voter.votes, voter.blind].map((count) => h('td', {}, count.toLocaleString('en')))))))))];
}
