/** One judge among the results of a run: what it goes by, how far it is, and what it says. Changed in place. */

import { judgeWords } from '../model/run-judges.js';
import { h, setText } from './element.js';
import { criteriaView, judgeTable } from './run-judge-results.js';

/** @import { JudgeResults } from '../client/run-assessments.js' */

export class JudgeSummary {
  #label;
  #words = h('p', { class: 'field-hint' });
  #table = h('div', {});
  #shown = '';
  element;

  /** @param {JudgeResults} results @param {string} label @param {string[]} names By target. */
  constructor(results, label, names) {
    this.#label = label;
    this.element = h('section', { 'aria-label': `Judge ${label}` },
      h('h3', { dir: 'auto' }, `Judge ${label}`), criteriaView(results.judge.criteria), this.#words, this.#table);
    this.show(results, names);
  }

  /** A table with the focus is not replaced by the same one. @param {JudgeResults} results @param {string[]} names By target. */
  show(results, names) {
    setText(this.#words, `${judgeWords(results)}.`);
    const shown = JSON.stringify([results.grades, results.ranking, names]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const hadFocus = this.#table.contains(document.activeElement);
    this.#table.replaceChildren(judgeTable(results, names, `What judge ${this.#label} says`));
    const region = this.#table.querySelector('[tabindex]');
    if (hadFocus && region instanceof HTMLElement) region.focus();
  }
}
