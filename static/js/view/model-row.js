/**
 * `<model-row>`: one model in the picker, with what it is doing and what went wrong.
 *
 * Events, each with `{id}`: `model-choose` with `isChosen`, `model-start`, `model-stop`,
 * `model-log`.
 */

import { PageElement, h, setText } from './element.js';
import { icon } from './icons.js';
import { notice } from './notice.js';
import { lastSeen, serverTitle, traits } from './servers.js';
import { modelState, progressLine, runsOn } from './words.js';

/** @import { Model, ModelError } from '../client/protocol.js' */

const IDLE_STATES = ['stopped', 'failed'];

export class ModelRow extends PageElement {
  /** @type {Model} */
  #model;
  #box = h('input', { type: 'checkbox' });
  #columnCount = 0;
  #isExplained = false;
  #name = h('span', { class: 'model-name' });
  #times = h('span', { class: 'model-times' });
  #state = h('span', { class: 'model-state' });
  #about = h('span', { class: 'model-about' });
  #runsOn = h('span', { class: 'model-runs-on' });
  #traits = h('span', { class: 'model-traits' });
  #progress = h('progress', { max: 1 });
  #progressText = h('p', { class: 'model-progress' });
  #problem = h('div', { class: 'model-problem' });
  #startText = h('span', {});
  #start = h('button', { type: 'button', class: 'model-action' }, icon('start'), this.#startText);
  #log = h('button', { type: 'button', class: 'model-action' }, 'Log');
  #stopText = h('span', {});
  #stop = h('button', { type: 'button', class: 'model-action' }, icon('stop'), this.#stopText);

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

  /** Whether its group says why it cannot be asked. */
  get isExplained() {
    return this.#isExplained;
  }

  set isExplained(isExplained) {
    if (isExplained === this.#isExplained) return;
    this.#isExplained = isExplained;
    this.#render();
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
        this.#runsOn,
        this.#traits),
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

  /** Show an error, or none. @param {ModelError | null} error */
  showProblem(error) {
    this.#problem.replaceChildren(...(error ? [notice(error)] : []));
  }

  /** Take in that time has passed. */
  refresh() {
    this.#render();
  }

  // Internal

  /** @param {string} type */
  #tell(type) {
    this.announce(type, { id: this.#model.id });
  }

  #render() {
    const { capabilities, name, description, progress, runner, server, state } = this.#model;
    this.dataset.state = state;
    setText(this.#name, name);
    this.#box.setAttribute('aria-label', name);
    const place = server ? [server.name ? '' : serverTitle(this.#model), server.model === name ? '' : server.model].filter(Boolean).join(' · ') : runsOn(this.#model);
    const about = traits(this.#model);
    this.#box.setAttribute('aria-description', [description, server ? serverTitle(this.#model) : place, ...about].filter(Boolean).join(' '));
    this.#box.disabled = server?.found ?? false; // first it is to be used
    const seen = server && state === 'failed' && !this.#isExplained ? lastSeen(this.#model, Date.now()) : '';
    setText(this.#state, [modelState(this.#model), seen].filter(Boolean).join(', '));
    this.#state.hidden = this.#state.textContent === '';
    setText(this.#about, description);
    setText(this.#runsOn, place);
    if (this.#traits.textContent !== about.join('')) this.#traits.replaceChildren(...about.map((one) => h('span', {}, one)));
    this.#problem.hidden = this.#isExplained;
    this.#progress.hidden = progress === null;
    this.#progress.setAttribute('aria-label', `${name}: ${modelState(this.#model)}`);
    if (progress?.fraction == null) this.#progress.removeAttribute('value');
    else this.#progress.value = progress.fraction;
    setText(this.#progressText, progress ? progressLine(progress) : '');
    // A remote server is not ours to stop, though some load and unload; `start` looks again whether it is there.
    const isOurs = runner !== 'remote';
    const loads = !isOurs && !!capabilities?.load;
    const isLost = state === 'failed' && !!server;
    this.classList.toggle('is-away', isLost || !!server?.found);
    setText(this.#startText, isOurs ? 'Start' : loads && !isLost ? 'Load' : 'Try again');
    setText(this.#stopText, loads ? 'Unload' : 'Stop');
    // Without a verb for it, a model that is not loaded is loaded by the first question.
    this.#start.hidden = !IDLE_STATES.includes(state) || this.#isExplained || !!server?.found || (!!server && !isLost && !loads);
    this.#start.setAttribute('aria-label', `${this.#startText.textContent}: ${name}`);
    this.#log.hidden = !isOurs;
    this.#log.setAttribute('aria-label', `Log: ${name}`);
    this.#stop.hidden = !(isOurs || loads) || !!server?.found || IDLE_STATES.includes(state) || state === 'stopping';
    this.#stop.setAttribute('aria-label', `${loads ? 'Unload' : 'Stop running'}: ${name}`);
  }
}

customElements.define('model-row', ModelRow);
