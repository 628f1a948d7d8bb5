/**
 * The form for a new run: its prompts, and who is asked.
 *
 * Targets begin as the columns that a prompt would ask, with their parameters. All that is wrong with a file is
 * listed with its line and column, and nothing is kept of it.
 */

import { SidestreamError } from '../client/protocol.js';
import { targetNames, targetsOf } from '../model/run-table.js';
import { h, iconButton } from './element.js';
import { letAgain } from './let-again.js';
import { PromptSource } from './prompt-source.js';
import { problemList } from './run-problems.js';

/** @import { Target } from '../client/runs.js' */
/** @import { Given } from './prompt-source.js' */
/** @import { Host } from './runs-view.js' */

const MAX_REPEATS = 100;

export class RunForm {
  #host;
  #signal;
  /** @type {Target[]} */
  #targets;
  #source;
  #listed = h('ul', { class: 'run-targets', 'aria-label': 'Who is asked' });
  #add = h('select', { id: 'run-add' });
  #repeats = h('input', { id: 'run-repeats', type: 'number', min: 1, max: MAX_REPEATS, value: 1, required: true });
  #name = h('input', { id: 'run-name', maxlength: 100, autocomplete: 'off', dir: 'auto' });
  #problem = h('div', { id: 'run-problem', role: 'alert' });
  #begin = h('button', { type: 'submit', class: 'quiet' }, 'Begin');
  element;

  /** @param {Host} host @param {AbortSignal} signal @param {Given} [given] What the prompts are at first. */
  constructor(host, signal, given = {}) {
    this.#host = host;
    this.#signal = signal;
    this.#targets = targetsOf(host.workspace);
    this.#source = new PromptSource(host, signal, (error) => this.#tell(error), given);
    host.name('New run');
    this.element = h('form', { class: 'run-page run-form' }, this.#source.element,
      h('h3', {}, 'Models'), this.#listed,
      h('div', { class: 'fields' },
        h('div', {}, h('label', { for: 'run-add' }, 'Add a model'), this.#add),
        h('div', {}, h('label', { for: 'run-repeats' }, 'How often each is asked'), this.#repeats),
        h('div', {}, h('label', { for: 'run-name' }, 'Name'), this.#name)),
      this.#problem, h('div', { class: 'run-acts' }, this.#begin));
    this.#add.addEventListener('change', () => this.#append(this.#add.value));
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    const models = [...host.client.models.values()].map(({ id, name }) => h('option', { value: id }, name || id));
    this.#add.append(h('option', { value: '' }, 'Choose…'), ...models);
    this.#renderTargets();
  }

  back = () => this.#host.list();

  focus() {
    this.#source.focus();
  }

  // Internal

  /** @param {string} model */
  #append(model) {
    this.#add.value = '';
    if (!model) return;
    this.#targets.push({ model, parameters: {}, system: null, name: '' });
    this.#renderTargets();
  }

  #renderTargets() {
    const names = targetNames(this.#targets, this.#host.nameOf);
    this.#listed.replaceChildren(...this.#targets.map((target, index) => {
      const remove = iconButton('close', `Remove ${names[index]}`);
      remove.addEventListener('click', () => {
        this.#targets.splice(index, 1);
        this.#renderTargets();
        this.#add.focus(); // the button goes
      });
      const own = Object.entries(target.parameters).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
      const words = [...own, target.system ? 'with a system prompt' : ''].filter(Boolean).join(', ');
      return h('li', {}, h('span', { dir: 'auto' }, names[index]), h('span', { class: 'field-hint' }, words), remove);
    }));
  }

  async #submit() {
    const missing = this.#missing();
    this.#tell(missing ? { message: missing } : null);
    if (missing) return;
    this.#begin.disabled = true;
    try {
      const run = await this.#create();
      this.#source.forget();
      if (!this.#signal.aborted) this.#host.open(run);
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.#tell(error);
    } finally {
      letAgain(this.#begin);
    }
  }

  /** What is missing, empty if nothing is. */
  #missing() {
    if (this.#source.isEmpty) return 'Write prompts, or choose a file or a kept set.';
    return this.#targets.length ? '' : 'Add one or more models.';
  }

  async #create() {
    const { api } = this.#host;
    const names = targetNames(this.#targets, this.#host.nameOf);
    const targets = this.#targets.map((target, index) => ({ ...target, name: names[index] }));
    const name = this.#name.value.trim();
    const { id, isNew } = await this.#source.keep(name);
    try {
      return await api.create({ prompt_set: id, targets, repeats: this.#repeats.valueAsNumber, name });
    } catch (error) {
      if (isNew) await api.forget(id); // the next attempt keeps it anew
      throw error;
    }
  }

  /** @param {SidestreamError | {message: string} | null} error */
  #tell(error) {
    this.#problem.replaceChildren(...(error ? [problemList(error)] : []));
  }
}
