/** One judge of a run: how far it is, what it goes by, what it says, and what can be done with it. */

import { judgeWords } from '../model/run-judges.js';
import { h, setText } from './element.js';
import { withCode } from './error-notice.js';
import { errorText } from './labels.js';
import { criteriaView, judgeTable } from './run-judge-results.js';

/** @import { JudgeResults } from '../client/run-assessments.js' */
/** @import { Run } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

export class RunJudge {
  #host;
  #run;
  #judge;
  #name;
  #changed;
  #words = h('p', { class: 'run-words' });
  #progress = h('progress', { 'aria-label': 'Judged' });
  #error = h('p', { class: 'notice', hidden: true });
  #table = h('div', {});
  #pause = this.#button('Pause', () => this.#act('pause'));
  #continue = this.#button('Continue', () => this.#act('continue'));
  #delete = this.#button('Delete…', () => this.#ask());
  #yes = this.#button('Delete it', () => this.#remove());
  #no = this.#button('Keep it', () => this.#endAsking());
  #asking = h('div', { class: 'run-acts', role: 'group', 'aria-label': 'Delete', hidden: true }, h('span', {}, 'Delete this judge with all that it said?'), this.#yes, this.#no);
  #shown = '';
  element;

  /** @param {Host} host @param {Run} run @param {{results: JudgeResults, name: string, names: string[], changed: () => void}} parts `names`: by target. */
  constructor(host, run, { results, name, names, changed }) {
    this.#host = host;
    this.#run = run;
    this.#judge = results.judge;
    this.#name = name;
    this.#changed = changed;
    this.element = h('section', { class: 'run-judge', 'aria-label': name }, h('h3', { dir: 'auto' }, name), criteriaView(results.judge.criteria),
      this.#words, this.#error, this.#progress, this.#table, h('div', { class: 'run-acts', hidden: !run.is_mine }, this.#pause, this.#continue, this.#delete), this.#asking);
    this.show(results, names);
  }

  // Actions

  /** @param {JudgeResults} results @param {string[]} names By target. */
  show(results, names) {
    const { judge } = results;
    this.#judge = judge;
    const isRunning = judge.state === 'running';
    setText(this.#words, judgeWords(results));
    Object.assign(this.#progress, { max: Math.max(1, judge.total ?? judge.judged), value: judge.judged });
    this.#progress.hidden = !isRunning;
    const words = judge.error ? errorText({ message: judge.error.message, hint: judge.error.hint ?? null }) : '';
    this.#error.hidden = !words;
    this.#error.replaceChildren(...withCode(words));
    const wasFocused = [this.#pause, this.#continue].some((button) => button === document.activeElement);
    this.#pause.hidden = !isRunning;
    this.#continue.hidden = isRunning || judge.judged >= (judge.total ?? 0);
    if (wasFocused) [this.#pause, this.#continue, this.#delete].find((button) => !button.hidden)?.focus();
    this.#showTable(results, names);
  }

  // Internal

  /** A table with the focus is not replaced by the same one. @param {JudgeResults} results @param {string[]} names */
  #showTable(results, names) {
    const shown = JSON.stringify([results.grades, results.ranking, names]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const hadFocus = this.#table.contains(document.activeElement);
    this.#table.replaceChildren(judgeTable(results, names, `What judge ${this.#name} says`));
    const region = this.#table.querySelector('[tabindex]');
    if (hadFocus) (region instanceof HTMLElement ? region : this.#delete).focus();
  }

  /** @param {'pause' | 'continue'} act */
  #act(act) {
    return this.#host.attempt(async () => {
      await this.#host.assessments.actOnJudge(this.#run.id, this.#judge.id, act);
      this.#changed();
    });
  }

  #ask() {
    this.#asking.hidden = false;
    this.#no.focus();
  }

  #endAsking() {
    this.#asking.hidden = true;
    this.#delete.focus();
  }

  #remove() {
    return this.#host.attempt(async () => {
      await this.#host.assessments.deleteJudge(this.#run.id, this.#judge.id);
      this.#changed();
    });
  }

  /** @param {string} words @param {() => unknown} act */
  #button(words, act) {
    const button = h('button', { type: 'button', class: 'quiet' }, words);
    button.addEventListener('click', act);
    return button;
  }
}
