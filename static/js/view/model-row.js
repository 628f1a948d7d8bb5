/**
 * `<model-row>`: one model in the picker, with what it is doing and what went wrong.
 *
 * Events, each with `{id}`: `model-choose` with `isChosen`, `model-start`, `model-stop`,
 * `model-log`.
 */

import { PageElement, h, setText } from './element.js';
import { icon } from './icons.js';
import { notice } from './notice.js';
import { modelState, progressLine, runsOn } from './words.js';

/** @import { Model, ModelError } from '../client/protocol.js' */

const IDLE_STATES = ['stopped', 'failed'];

export class ModelRow extends PageElement {
  /** @type {Model} */
  #model;
  #box = h('input', { type: 'checkbox' });
  #columnCount = 0;
  #name = h('span', { class: 'model-name' });
  #times = h('span', { class: 'model-times' });
  #state = h('span', { class: 'model-state' });
  #about = h('span', { class: 'model-about' });
  #runsOn = h('span', { class: 'model-runs-on' });
  #progress = h('progress', { max: 1 });
  #progressText = h('p', { class: 'model-progress' });
  #problem = h('div', { class: 'model-problem' });
  #startText = h('span', {});
  #start = h('button', { type: 'button', class: 'model-action' }, icon('start'), this.#startText);
  #log = h('button', { type: 'button', class: 'model-action' }, 'Log');
  #stop = h('button', { type: 'button', class: 'model-action' }, icon('stop'), 'Stop');

  /** @param {Model} model */
  constructor(model) {
    super();
    this.#model = model;
  }

  get model() {
    return this.#model;
  }

  set model(model) {
    const isSameError = JSON.stringify(model.error) === JSON.stringify(this.#model.error);
    this.#model = model;
    this.#render();
    if (!isSameError) this.showProblem(model.error);
  }

  /** How many columns it has. */
  get columnCount() {
    return this.#columnCount;
  }

  set columnCount(count) {
    this.#columnCount = count;
    this.#box.checked = count > 0;
    setText(this.#times, count > 1 ? `× ${count}` : '');
  }

  // Lifecycle

  /** @override */
  build() {
    this.setAttribute('role', 'listitem');
    this.append(
      h('label', {},
        this.#box,
        h('span', {}, this.#name, ' ', this.#times),
        this.#about,
        this.#runsOn),
      h('div', { class: 'model-foot' }, this.#state, this.#log, this.#start, this.#stop),
      this.#progress,
      this.#progressText,
      this.#problem,
    );
    this.showProblem(this.#model.error);
    this.#render();
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#box.addEventListener('change', () =>
      this.announce('model-choose', { id: this.#model.id, isChosen: this.#box.checked }), { signal });
    this.#start.addEventListener('click', () => this.#tell('model-start'), { signal });
    this.#log.addEventListener('click', () => this.#tell('model-log'), { signal });
    this.#stop.addEventListener('click', () => this.#tell('model-stop'), { signal });
  }

  // Actions

  /** @override */
  focus() {
    this.#box.focus();
  }

  /** Tell whether all these words are in what it says of the model. @param {string[]} words In small letters. */
  has(words) {
    const said = [this.#name, this.#about, this.#runsOn, this.#state].map(({ textContent }) => textContent).join(' ').toLowerCase();
    return words.every((word) => said.includes(word) || this.#model.id.toLowerCase().includes(word));
  }

  /** Show an error, or none. @param {ModelError | null} error */
  showProblem(error) {
    this.#problem.replaceChildren(...(error ? [notice(error)] : []));
  }

  // Internal

  /** @param {string} type */
  #tell(type) {
    this.announce(type, { id: this.#model.id });
  }

  #render() {
    const { name, description, progress, runner, state } = this.#model;
    this.dataset.state = state;
    setText(this.#name, name);
    this.#box.setAttribute('aria-label', name);
    this.#box.setAttribute('aria-description', [description, runsOn(this.#model)].join(' '));
    setText(this.#state, modelState(this.#model));
    setText(this.#about, description);
    setText(this.#runsOn, runsOn(this.#model));
    this.#progress.hidden = progress === null;
    this.#progress.setAttribute('aria-label', `${name}: ${modelState(this.#model)}`);
    if (progress?.fraction == null) this.#progress.removeAttribute('value');
    else this.#progress.value = progress.fraction;
    setText(this.#progressText, progress ? progressLine(progress) : '');
    // A remote server is not ours to stop; `start` looks again whether it is there.
    const isOurs = runner !== 'remote';
    setText(this.#startText, isOurs ? 'Start' : 'Try again');
    this.#start.hidden = !IDLE_STATES.includes(state);
    this.#start.setAttribute('aria-label', `${this.#startText.textContent}: ${name}`);
    this.#log.hidden = !isOurs;
    this.#log.setAttribute('aria-label', `Log: ${name}`);
    this.#stop.hidden = !isOurs || IDLE_STATES.includes(state) || state === 'stopping';
    this.#stop.setAttribute('aria-label', `Stop running: ${name}`);
  }
}

customElements.define('model-row', ModelRow);
