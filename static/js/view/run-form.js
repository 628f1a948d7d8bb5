/**
 * The form for a new run: prompts that are pasted, of a file, or of a kept set; and who is asked.
 *
 * Targets begin as the columns that a prompt would ask, with their parameters. All that is wrong with a file is
 * listed with its line and column, and nothing is kept of it.
 */

import { SidestreamError } from '../client/protocol.js';
import { problemWords, promptLines, targetNames, targetsOf } from '../model/run-table.js';
import { h, iconButton, setText } from './element.js';
import { withCode } from './error-notice.js';
import { errorText, sentence } from './labels.js';

/** @import { PromptSet, Target } from '../client/runs.js' */
/** @import { Host } from './runs-view.js' */

const MAX_REPEATS = 100;

/** What was written and is not yet asked: Escape does not lose it. */
let draft = '';

export class RunForm {
  #host;
  #signal;
  /** @type {Target[]} */
  #targets;
  #text = h('textarea', { id: 'run-prompts', rows: 6, 'aria-describedby': 'run-prompts-hint run-problem', placeholder: 'Name a river.\nName a lighthouse.' });
  #count = h('span', { id: 'run-prompts-hint', class: 'field-hint', 'aria-live': 'polite' });
  #file = h('input', { id: 'run-file', type: 'file', accept: '.csv,.jsonl,.ndjson,.txt,text/plain,text/csv', 'aria-describedby': 'run-file-hint run-problem' });
  #set = h('select', { id: 'run-set' });
  #listed = h('ul', { class: 'run-targets', 'aria-label': 'Who is asked' });
  #add = h('select', { id: 'run-add' });
  #repeats = h('input', { id: 'run-repeats', type: 'number', min: 1, max: MAX_REPEATS, value: 1, required: true });
  #name = h('input', { id: 'run-name', maxlength: 300, autocomplete: 'off', dir: 'auto' });
  #problem = h('div', { id: 'run-problem', role: 'alert' });
  #begin = h('button', { type: 'submit', class: 'quiet' }, 'Begin');
  element = h('form', { class: 'run-page run-form' },
    h('div', {}, h('label', { for: 'run-prompts' }, 'Prompts, one a line'), this.#text, this.#count),
    h('div', { class: 'fields' },
      h('div', {}, h('label', { for: 'run-file' }, 'Or a file'), this.#file,
        h('span', { class: 'field-hint', id: 'run-file-hint' }, ...withCode('CSV, JSON Lines or a prompt a line. A column `expected`, and `checks`, say what a good answer is.'))),
      h('div', {}, h('label', { for: 'run-set' }, 'Or a kept set'), this.#set)),
    h('h3', {}, 'Models'), this.#listed,
    h('div', { class: 'fields' },
      h('div', {}, h('label', { for: 'run-add' }, 'Add a model'), this.#add),
      h('div', {}, h('label', { for: 'run-repeats' }, 'How often each is asked'), this.#repeats),
      h('div', {}, h('label', { for: 'run-name' }, 'Name'), this.#name)),
    this.#problem, h('div', { class: 'run-acts' }, this.#begin));

  /** @param {Host} host @param {AbortSignal} signal */
  constructor(host, signal) {
    this.#host = host;
    this.#signal = signal;
    this.#targets = targetsOf(host.workspace);
    host.name('New run');
    this.#text.addEventListener('input', () => this.#changed(this.#text));
    this.#file.addEventListener('change', () => this.#changed(this.#file));
    this.#set.addEventListener('change', () => this.#changed(this.#set));
    this.#add.addEventListener('change', () => this.#append(this.#add.value));
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    const models = [...host.client.models.values()].map(({ id, name }) => h('option', { value: id }, name || id));
    this.#add.append(h('option', { value: '' }, 'Choose…'), ...models);
    this.#showSets([]);
    void host.attempt(async () => this.#showSets((await host.api.sets()).sets));
    this.#text.value = draft;
    this.#renderTargets();
    this.#changed(this.#text);
  }

  back = () => this.#host.list();

  focus() {
    this.#text.focus();
  }

  // Internal

  /** @param {PromptSet[]} sets */
  #showSets(sets) {
    this.#set.replaceChildren(h('option', { value: '' }, sets.length ? 'Choose…' : 'None is kept'),
      ...sets.map(({ id, name, prompts }) => h('option', { value: id }, `${name} (${prompts.toLocaleString('en')})`)));
    this.#set.disabled = sets.length === 0;
  }

  /** Prompts come from one place: what was given last. @param {HTMLElement} source */
  #changed(source) {
    if (source !== this.#text) this.#text.value = '';
    if (source !== this.#file) this.#file.value = '';
    if (source !== this.#set) this.#set.value = '';
    draft = this.#text.value;
    const count = promptLines(draft).length;
    setText(this.#count, count ? `${count.toLocaleString('en')} ${count === 1 ? 'prompt' : 'prompts'}` : '');
    this.#tell([]);
  }

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
    const problem = this.#missing();
    if (problem) return this.#tell([problem]);
    this.#tell([]);
    this.#begin.disabled = true;
    try {
      const run = await this.#create();
      draft = '';
      if (!this.#signal.aborted) this.#host.open(run);
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      const problems = /** @type {any} */ (error.details)?.problems;
      this.#tell(Array.isArray(problems) && problems.length ? problems.map(problemWords) : [errorText(error)]);
    } finally {
      this.#begin.disabled = false;
    }
  }

  /** What is missing, empty if nothing is. */
  #missing() {
    if (!this.#set.value && !this.#file.files?.length && promptLines(this.#text.value).length === 0) return 'Write prompts, or choose a file or a kept set.';
    return this.#targets.length ? '' : 'Add one or more models.';
  }

  async #create() {
    const { api } = this.#host;
    const names = targetNames(this.#targets, this.#host.nameOf);
    const targets = this.#targets.map((target, index) => ({ ...target, name: names[index] }));
    const name = this.#name.value.trim();
    const made = this.#set.value ? null : await this.#keep(name);
    try {
      return await api.create({ prompt_set: made?.id ?? this.#set.value, targets, repeats: this.#repeats.valueAsNumber, name });
    } catch (error) {
      if (made) await api.forget(made.id); // the next attempt keeps it anew
      throw error;
    }
  }

  /** Keep the prompts that were written, or the file's. @param {string} name */
  #keep(name) {
    const [file] = this.#file.files ?? [];
    if (file) return this.#host.api.keep(file, { name: name || file.name.replace(/\.\w+$/, '') });
    return this.#host.api.keep(promptLines(this.#text.value).join('\n'), { name, form: 'lines' });
  }

  /** @param {string[]} problems */
  #tell(problems) {
    this.#problem.replaceChildren(...(problems.length ? [h('ul', { class: 'notice run-problems' }, ...problems.map((one) => h('li', {}, ...withCode(sentence(one)))))] : []));
  }
}
