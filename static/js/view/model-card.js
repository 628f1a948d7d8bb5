/**
 * `<model-card>`: a dialog with all that is known of a model, and the buttons to start, stop and read its log.
 *
 * It follows the model while it is open. The page loads this module on demand.
 *
 * Events: `model-start`, `model-stop`, `model-restart` and `model-log` with `{id}`.
 */

import { PageElement, h, iconButton, letClose, setText } from './element.js';
import { errorNotice } from './error-notice.js';
import { facts, standing } from './model-facts.js';
import { actionsOf, modelState, progressLine } from './labels.js';
import { actButton } from './model-row.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Model, ModelError } from '../client/protocol.js' */
/** @import { Fact } from './model-facts.js' */

export class ModelCard extends PageElement {
  /** @type {SidestreamClient | null} */
  client = null;
  #id = '';
  /** The error that the model itself has, as JSON. */
  #told = '';
  #isOpen = new AbortController();
  #title = h('h2', { id: 'card-title' });
  #about = h('p', { class: 'card-about' });
  #state = h('span', { class: 'card-state', role: 'status' });
  #bar = h('progress', { max: 1, 'aria-label': 'Progress' });
  #acts = h('span', { class: 'card-acts' });
  #problem = h('div', {});
  #facts = h('dl', { class: 'card-facts' });
  #standing = h('dl', { class: 'card-facts' });
  #standingPart = h('section', {}, h('h3', {}, 'Parameters where nobody sets any'), this.#standing);
  #system = h('blockquote', { class: 'card-system', dir: 'auto', tabindex: 0 });
  #systemPart = h('section', {}, h('h3', {}, 'System prompt'), this.#system);
  #close = iconButton('close', 'Close');
  #dialog = h('dialog', { class: 'sheet', 'aria-labelledby': 'card-title' },
    h('header', {}, this.#title, this.#close),
    this.#about, h('div', { class: 'card-now' }, this.#state, this.#acts), this.#bar, this.#problem,
    this.#facts, this.#systemPart, this.#standingPart);

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    letClose(this.#dialog, this.#close, signal);
    this.#dialog.addEventListener('close', () => this.#isOpen.abort(), { signal });
    this.#acts.addEventListener('click', ({ target }) => {
      const act = /** @type {HTMLElement | null} */ (/** @type {Element} */ (target).closest('button'))?.dataset.act;
      if (!act) return;
      if (act === 'model-log') this.#dialog.close(); // the log is below it
      this.#problem.replaceChildren();
      this.announce(act, { id: this.#id });
    }, { signal });
  }

  // Actions

  /** @param {string} id The model's. */
  open(id) {
    const { client } = this;
    if (!client?.models.has(id)) return;
    this.#id = id;
    this.#told = '';
    this.#show();
    const { signal } = (this.#isOpen = new AbortController());
    client.on('model', (model) => model.id === id && this.#show(), { signal });
    client.on('models', () => (client.models.has(id) ? this.#show() : this.#dialog.close()), { signal });
    this.#dialog.showModal();
  }

  /** Show why a command was refused. @param {string} id @param {ModelError} error */
  showProblem(id, error) {
    if (id === this.#id) this.#problem.replaceChildren(errorNotice(error, { isAlert: true }));
  }

  // Internal

  #show() {
    const model = /** @type {Model} */ (this.client?.models.get(this.#id));
    const { config, description, error, name, outdated, progress, replicas, state } = model;
    const ready = replicas?.filter((one) => one.state === 'ready').length;
    setText(this.#title, name);
    setText(this.#about, description);
    this.#dialog.dataset.state = state;
    setText(this.#state, [modelState(model), replicas && replicas.length > 1 && `${ready} of ${replicas.length} replicas`, progress && progressLine(progress), outdated && 'its settings have changed since it was started'].filter(Boolean).join(' · '));
    this.#bar.hidden = !progress;
    if (progress?.fraction == null) this.#bar.removeAttribute('value');
    else this.#bar.value = progress.fraction;
    const acts = actionsOf(model);
    if (this.#acts.textContent !== acts.map(([, text]) => text).join('')) this.#replaceActs(acts, name);
    const words = JSON.stringify(error);
    if (words !== this.#told) this.#problem.replaceChildren(...(error ? [errorNotice(error)] : []));
    this.#told = words;
    fill(this.#facts, facts(model, Date.now()));
    const rows = standing(model);
    fill(this.#standing, rows);
    this.#standingPart.hidden = rows.length === 0;
    setText(this.#system, config?.system ?? '');
    this.#systemPart.hidden = !config?.system;
  }

  /** @param {ReturnType<typeof actionsOf>} acts @param {string} name */
  #replaceActs(acts, name) {
    const hadFocus = this.#acts.contains(document.activeElement);
    const buttons = acts.map((one) => Object.assign(actButton(one, name), { className: 'quiet', tabIndex: 0 }));
    this.#acts.replaceChildren(...buttons);
    if (hadFocus) (buttons[0] ?? this.#close).focus();
  }
}

/** @param {HTMLElement} list @param {Fact[]} rows */
function fill(list, rows) {
  const words = JSON.stringify(rows);
  if (list.dataset.words === words) return; // what is selected stays selected
  list.dataset.words = words;
  list.replaceChildren(...rows.map(([name, text]) => h('div', {}, h('dt', {}, name), h('dd', { dir: 'auto' }, text))));
}

customElements.define('model-card', ModelCard);
