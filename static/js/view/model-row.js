/**
 * `<model-row>`: one model in the picker, in a line, and below it the progress of a start or an error.
 *
 * The row listens to nothing: there may be hundreds. Its picker takes the clicks; a button's `data-act` is the
 * event it stands for.
 */

import { h, iconButton, setText } from './element.js';
import { icon } from './icons.js';
import { errorNotice } from './error-notice.js';
import { chips, lastSeen, serverTitle, traits } from './servers.js';
import { actionsOf, modelState, progressLine, runsOn } from './labels.js';

/** @import { Model, ModelError } from '../client/protocol.js' */

const CALM = ['stopped', 'ready'];

export class ModelRow extends HTMLElement {
  /** @type {Model} */
  #model;
  /** @type {ModelError | null} */
  #error;
  #isExplained = false;
  #box;
  #name = h('span', { class: 'model-name', dir: 'auto' });
  #times = h('span', { class: 'model-times' });
  #dot = h('span', { class: 'model-dot' });
  #chips = h('span', { class: 'model-chips' });
  #card = iconButton('about', '', { 'data-act': 'model-card', tabindex: '-1' });
  #label;
  /** Created when there is something to tell. @type {ReturnType<typeof more> | null} */
  #more = null;
  /** @type {ModelError | null} The error that it shows. */
  #shown = null;

  /** @param {Model} model @param {boolean} isSingle Whether one model is chosen, and not several. */
  constructor(model, isSingle = false) {
    super();
    this.#model = model;
    this.#error = model.error;
    this.#box = h('input', { type: isSingle ? 'radio' : 'checkbox', tabindex: -1 });
    this.#label = h('label', {}, this.#box, this.#name, this.#times, this.#dot, this.#chips);
  }

  get model() {
    return this.#model;
  }

  set model(model) {
    if (JSON.stringify(model.error) !== JSON.stringify(this.#model.error)) this.#error = model.error;
    this.#model = model;
    this.#render();
  }

  /** @param {number} count How many columns the model has. */
  set columnCount(count) {
    this.#box.checked = count > 0;
    setText(this.#times, count > 1 ? `× ${count}` : '');
  }

  /** Whether the group shows the error. */
  get isExplained() {
    return this.#isExplained;
  }

  set isExplained(isExplained) {
    if (isExplained === this.#isExplained) return;
    this.#isExplained = isExplained;
    this.#render();
  }

  // Lifecycle

  connectedCallback() {
    if (this.firstChild) return;
    this.setAttribute('role', 'row');
    this.append(h('div', { role: 'gridcell', class: 'model-line' }, this.#label, this.#card));
    this.#render();
  }

  // Actions

  /** @override */
  focus() {
    this.#box.focus();
  }

  /** Show an error, or none. @param {ModelError | null} error */
  showProblem(error) {
    this.#error = error;
    this.#render();
  }

  /** Render again, as time has passed. */
  refresh() {
    this.#render();
  }

  // Internal

  #render() {
    const { description, name, server, state } = this.#model;
    const told = modelState(this.#model);
    const about = traits(this.#model);
    const place = server ? [serverTitle(this.#model), server.model === name ? '' : server.model].filter(Boolean).join(' · ') : runsOn(this.#model);
    this.dataset.state = state;
    this.classList.toggle('is-away', !!server && (state === 'failed' || !!server.found));
    setText(this.#name, name);
    this.#box.setAttribute('aria-label', name);
    this.#box.setAttribute('aria-description', [told, description, place, ...about].filter(Boolean).join('. '));
    this.#box.disabled = server?.found ?? false; // its server has to be used first
    this.#label.title = [name, description, place, about.join(' · ')].filter(Boolean).join('\n');
    setText(this.#dot, state === 'ready' ? '' : told);
    this.#dot.title = told;
    const signs = chips(this.#model);
    if (this.#chips.textContent !== signs.map(([text]) => text).join('')) this.#chips.replaceChildren(...signs.map(([text, where]) => h('span', { class: where ?? null }, text)));
    const label = `About ${name}`;
    this.#card.title = label;
    this.#card.setAttribute('aria-label', label);
    this.#tell();
  }

  /** Show the progress or the error. What has not changed stays, so that no click is lost. */
  #tell() {
    const { name, progress, server, state } = this.#model;
    const isHidden = this.#isExplained || !!server?.found;
    const error = isHidden ? null : this.#error;
    const isFailed = state === 'failed';
    const isOpen = error !== null || (!CALM.includes(state) && !(isFailed && isHidden));
    if (!isOpen && !this.#more) return;
    if (!this.#more) this.append((this.#more = more()).cell);
    const { acts, bar, cell, problem, line } = this.#more;
    cell.hidden = !isOpen;
    const seen = server && isFailed ? lastSeen(this.#model, Date.now()) : '';
    const said = progress ? progressLine(progress) : CALM.includes(state) ? '' : modelState(this.#model);
    setText(line, [said, seen].filter(Boolean).join(', '));
    bar.hidden = isFailed || CALM.includes(state);
    bar.setAttribute('aria-label', `${name}: ${modelState(this.#model)}`);
    if (progress?.fraction == null) bar.removeAttribute('value');
    else bar.value = progress.fraction;
    const possible = isOpen ? actionsOf(this.#model) : [];
    if (acts.textContent !== possible.map(([, text]) => text).join('')) acts.replaceChildren(...possible.map((one) => actButton(one, name)));
    if (this.#shown !== error) problem.replaceChildren(...(error ? [errorNotice(error)] : []));
    this.#shown = error;
  }
}

function more() {
  const bar = h('progress', { max: 1 });
  const line = h('span', { class: 'model-state' });
  const acts = h('span', { class: 'model-acts' });
  const problem = h('div', { class: 'model-problem' });
  return { acts, bar, line, problem, cell: h('div', { role: 'gridcell', class: 'model-more' }, bar, h('div', { class: 'model-foot' }, line, acts), problem) };
}

/** Make the button for what can be done with a model. @param {[act: string, text: string]} action @param {string} name */
export function actButton([act, text], name) {
  const label = `${text === 'Stop' ? 'Stop running' : text}: ${name}`;
  const signs = act === 'model-log' ? [] : [icon(act === 'model-stop' ? 'stop' : 'start')];
  return h('button', { type: 'button', class: 'model-action', 'data-act': act, 'aria-label': label, tabindex: -1 }, ...signs, text);
}

customElements.define('model-row', ModelRow);
