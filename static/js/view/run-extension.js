/** More to ask in a run: the models of the columns that it does not have yet, and more repeats. */

import { SidestreamError } from '../client/protocol.js';
import { newTargets, targetNames } from '../model/run-table.js';
import { h, setText } from './element.js';
import { withCode } from './error-notice.js';
import { errorText } from './labels.js';
import { letAgain } from './let-again.js';

/** @import { Run, Target } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

const MAX_REPEATS = 100;

export class RunExtension {
  #host;
  #run;
  #done;
  /** @type {Target[]} */
  #targets;
  /** @type {HTMLInputElement[]} */
  #boxes;
  #repeats;
  #due = h('p', { class: 'field-hint', 'aria-live': 'polite' });
  #problem = h('div', { role: 'alert' });
  #ask = h('button', { type: 'submit', class: 'quiet' }, 'Ask');
  element;

  /** @param {Host} host @param {Run} run @param {(changed: Run | null) => void} done Null where nothing is wished. */
  constructor(host, run, done) {
    this.#host = host;
    this.#run = run;
    this.#done = done;
    this.#targets = newTargets(host.workspace, run.targets);
    const names = targetNames(this.#targets, host.nameOf);
    this.#boxes = names.map((_, index) => h('input', { type: 'checkbox', id: `run-more-${index}`, checked: true }));
    this.#repeats = h('input', { id: 'run-more-repeats', type: 'number', min: run.repeats, max: MAX_REPEATS, value: run.repeats, required: true });
    const cancel = h('button', { type: 'button', class: 'quiet' }, 'Cancel');
    cancel.addEventListener('click', () => done(null));
    this.element = h('form', { class: 'run-form run-extension', 'aria-label': 'Extend' },
      ...(names.length ? [h('ul', { class: 'run-targets', 'aria-label': 'Who is asked too' }, ...names.map((name, index) =>
        h('li', {}, this.#boxes[index], h('label', { for: `run-more-${index}`, dir: 'auto' }, name))))]
        : [h('p', { class: 'field-hint' }, 'The columns have no other model. Choose one there to ask it too.')]),
      h('div', { class: 'fields' }, h('div', {}, h('label', { for: 'run-more-repeats' }, 'How often each is asked'), this.#repeats)),
      this.#due, this.#problem, h('div', { class: 'run-acts' }, this.#ask, cancel));
    this.element.addEventListener('input', () => this.#showDue());
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation(); // the screen stays
      event.preventDefault();
      done(null);
    });
    this.#showDue();
  }

  focus() {
    (this.#boxes[0] ?? this.#repeats).focus();
  }

  // Internal

  get #chosen() {
    return this.#targets.filter((_, index) => this.#boxes[index].checked);
  }

  get #more() {
    const { prompts, repeats, targets } = this.#run;
    return prompts * ((this.#repeats.valueAsNumber || repeats) * (targets.length + this.#chosen.length) - repeats * targets.length);
  }

  #showDue() {
    const more = this.#more;
    setText(this.#due, more > 0 ? `${more.toLocaleString('en')} more ${more === 1 ? 'answer' : 'answers'}` : 'Nothing more to ask.');
    this.#ask.disabled = more <= 0;
  }

  async #submit() {
    this.#problem.replaceChildren();
    this.#ask.disabled = true;
    try {
      const names = targetNames([...this.#run.targets, ...this.#chosen], this.#host.nameOf).slice(this.#run.targets.length);
      const targets = this.#chosen.map((target, index) => ({ ...target, name: names[index] }));
      this.#done(await this.#host.api.extend(this.#run.id, { targets, repeats: this.#repeats.valueAsNumber }));
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.#problem.replaceChildren(h('p', { class: 'notice' }, ...withCode(errorText(error))));
    } finally {
      this.#showDue();
      if (!this.#ask.disabled) letAgain(this.#ask);
    }
  }
}
