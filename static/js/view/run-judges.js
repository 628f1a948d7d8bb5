/**
 * The judges of a run, and a form for a new one: a model that grades the answers, or compares two at a time.
 *
 * What a judge goes by stays in sight; what it was asked and said is at the answers of each prompt. The list
 * changes as the judges do, whoever begins, pauses or deletes them.
 */

import { SidestreamError } from '../client/protocol.js';
import { repliesDue } from '../model/run-judges.js';
import { targetNames } from '../model/run-table.js';
import { h, setText } from './element.js';
import { withCode } from './error-notice.js';
import { JudgeFeed } from './judge-feed.js';
import { errorText } from './labels.js';
import { letAgain } from './let-again.js';
import { RunJudge } from './run-judge.js';

/** @import { JudgeGiven, JudgeResults } from '../client/run-assessments.js' */
/** @import { Run } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

const MAX_CRITERIA = 20_000;
const [LEAST_GRADES, MOST_GRADES, GRADES] = [2, 100, 5];

/** Criteria that were written and are not yet judged by: Escape does not lose them. */
let draft = '';

export class RunJudges {
  #host;
  #run;
  /** @type {Map<string, RunJudge>} */
  #judges = new Map();
  #feed;
  #list = h('div', { class: 'run-page', role: 'region', 'aria-label': 'Judges' });
  #none = h('p', { class: 'field-hint', hidden: true }, 'No model has judged this run.');
  #model = h('select', { id: 'judge-model', required: true });
  #criteria = h('textarea', { id: 'judge-criteria', rows: 4, dir: 'auto', maxlength: MAX_CRITERIA, required: true, 'aria-describedby': 'judge-hint', placeholder: 'Is the answer right, and as short as it can be?' });
  #mode = h('select', { id: 'judge-mode' }, h('option', { value: 'grades' }, 'A grade for each answer'), h('option', { value: 'pairs' }, 'Pairs, each in both orders'));
  #grades = h('input', { id: 'judge-grades', type: 'number', min: LEAST_GRADES, max: MOST_GRADES, value: GRADES, required: true });
  #gradesField = h('div', {}, h('label', { for: 'judge-grades' }, 'Grades from 1, the worst, to'), this.#grades);
  #due = h('span', { id: 'judge-hint', class: 'field-hint', 'aria-live': 'polite' });
  #problem = h('div', { role: 'alert' });
  #begin = h('button', { type: 'submit', class: 'quiet' }, 'Begin');
  #form = h('form', { class: 'run-form', 'aria-labelledby': 'judge-new' }, h('h3', { id: 'judge-new' }, 'New judge'),
    h('div', {}, h('label', { for: 'judge-criteria' }, 'Criteria, in your words'), this.#criteria, this.#due),
    h('div', { class: 'fields' },
      h('div', {}, h('label', { for: 'judge-model' }, 'Model'), this.#model),
      h('div', {}, h('label', { for: 'judge-mode' }, 'How it judges'), this.#mode), this.#gradesField),
    this.#problem, h('div', { class: 'run-acts' }, this.#begin));
  element = h('div', { class: 'run-page', tabindex: -1 },
    h('p', { class: 'field-hint' }, 'A judge is a model that reads the complete answers and judges them by your criteria. It has tastes of its own, and is never mixed with people’s votes.'),
    this.#list, this.#none, this.#form);

  /** @param {Host} host @param {AbortSignal} signal @param {Run} run */
  constructor(host, signal, run) {
    this.#host = host;
    this.#run = run;
    const models = [...host.client.models.values()].map(({ id, name }) => h('option', { value: id }, name || id));
    this.#model.append(h('option', { value: '' }, 'Choose…'), ...models);
    this.#criteria.value = draft;
    this.#criteria.addEventListener('input', () => (draft = this.#criteria.value));
    this.#mode.addEventListener('change', () => this.#showMode());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#form.hidden = !run.is_mine; // who a run is shared with reads its judges
    this.#use(run);
    this.#feed = new JudgeFeed(host, signal, run, { show: (judges) => this.#show(judges), told: (now) => this.#use(now) });
    void this.#feed.read();
  }

  back = () => this.#host.open(this.#run);

  focus() {
    this.element.focus(); // not the form, which may stand below many judges
  }

  // Internal

  /** @param {Run} run */
  #use(run) {
    this.#run = run;
    this.#host.name(`Judges: ${run.name || run.set_name}`);
    this.#showMode();
  }

  /** @param {JudgeResults[]} judges */
  #show(judges) {
    const names = targetNames(this.#run.targets, this.#host.nameOf);
    const labels = targetNames(judges.map(({ judge }) => ({ name: '', model: judge.model })), this.#host.nameOf);
    for (const [id, judge] of this.#judges) {
      if (judges.some((one) => one.judge.id === id)) continue;
      const hadFocus = judge.element.contains(document.activeElement);
      judge.element.remove();
      this.#judges.delete(id);
      if (hadFocus) this.focus();
    }
    judges.forEach((results, index) => {
      const known = this.#judges.get(results.judge.id);
      if (known) return known.show(results, names);
      const made = new RunJudge(this.#host, this.#run, { results, name: labels[index], names, changed: () => void this.#feed.read() });
      this.#judges.set(results.judge.id, made);
      this.#list.append(made.element);
    });
    this.#none.hidden = judges.length > 0;
  }

  #showMode() {
    const mode = /** @type {JudgeGiven['mode']} */ (this.#mode.value);
    this.#gradesField.hidden = mode === 'pairs';
    this.#grades.disabled = mode === 'pairs';
    const due = repliesDue(this.#run, mode);
    setText(this.#due, `${due.toLocaleString('en')} ${due === 1 ? 'reply' : 'replies'} of the model at most: failed answers are not judged.`);
  }

  async #submit() {
    this.#problem.replaceChildren();
    this.#begin.disabled = true;
    try {
      await this.#host.assessments.beginJudge(this.#run.id, {
        model: this.#model.value,
        criteria: this.#criteria.value.trim(),
        mode: /** @type {JudgeGiven['mode']} */ (this.#mode.value),
        grades: this.#grades.valueAsNumber || GRADES,
      });
      this.#criteria.value = draft = '';
      await this.#feed.read();
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.#problem.replaceChildren(h('p', { class: 'notice' }, ...withCode(errorText(error))));
    } finally {
      letAgain(this.#begin);
    }
  }
}
