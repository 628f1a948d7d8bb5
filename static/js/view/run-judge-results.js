/** What a judge's judgements come to: mean grades, or a ranking of pairs. Never mixed with people's votes. */

import { gradeWords } from '../model/run-judges.js';
import { h } from './element.js';
import { rankingView } from './run-ranking.js';

/** @import { JudgeResults } from '../client/run-assessments.js' */

const HEADINGS = ['Target', 'Mean grade', '95 % interval', 'Graded', 'Unreadable'];

/** @param {JudgeResults} results @param {string[]} names By target. @param {string} label */
export function judgeTable({ judge, grades, ranking }, names, label) {
  if (judge.mode === 'pairs') return ranking.length ? rankingView(ranking, names, label) : h('p', { class: 'field-hint' }, 'No pair has a verdict yet that can be read in both orders.');
  return h('div', { class: 'summary-table', tabindex: 0, role: 'region', 'aria-label': label },
    h('table', {}, h('thead', {}, h('tr', {}, ...HEADINGS.map((name) => h('th', { scope: 'col' }, name)))),
      h('tbody', {}, ...grades.map(({ target, grades: summary }) => {
        const [mean, interval] = gradeWords(summary);
        const cells = [mean ? `${mean} of ${judge.grades}` : '–', interval || '–', String(summary.graded), String(summary.unreadable)];
        return h('tr', {}, h('th', { scope: 'row', dir: 'auto' }, names[target]), ...cells.map((words) => h('td', {}, words)));
      }))));
}

/** The criteria in full, as they were given. @param {string} criteria */
export function criteriaView(criteria) {
  return h('p', { class: 'run-criteria', dir: 'auto' }, h('bdi', {}, h('b', {}, 'Criteria: ')), criteria);
}
