/**
 * `<model-replacer>`: a dialog that chooses another model for a column, from the same list as the picker's.
 *
 * The page loads this module on demand.
 */

import { PageElement, h, iconButton, letClose, setText } from './element.js';
import { ModelPicker } from './model-picker.js';

/** @import { SidestreamClient } from '../client/client.js' */

export class ModelReplacer extends PageElement {
  /** @type {SidestreamClient | null} */
  client = null;
  #isOpen = new AbortController();
  /** @type {(model: string) => void} */
  #take = () => {};
  #title = h('h2', { id: 'replacer-title' });
  #picker = new ModelPicker();
  #close = iconButton('close', 'Close');
  #dialog = h('dialog', { class: 'sheet replacer', 'aria-labelledby': 'replacer-title' }, h('header', {}, this.#title, this.#close), this.#picker);

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    letClose(this.#dialog, this.#close, signal);
    this.#dialog.addEventListener('close', () => this.#isOpen.abort(), { signal });
    this.addEventListener('model-choose', (event) => {
      event.stopPropagation(); // it is no choice of a further model
      this.#dialog.close();
      this.#take(/** @type {CustomEvent} */ (event).detail.id);
    }, { signal });
  }

  // Actions

  /** @param {{name: string, model: string}} column What it is called, and its model. @param {(model: string) => void} take Called with the chosen model's id. */
  open({ name, model }, take) {
    const { client } = this;
    if (!client) return;
    this.#take = take;
    const picker = Object.assign(new ModelPicker(), { isSingle: true }); // nothing is left of an earlier search
    this.#picker.replaceWith(picker);
    this.#picker = picker;
    setText(this.#title, `Replace ${name} by`);
    const models = () => [...client.models.values()].filter(({ server }) => !server?.found);
    picker.choose({ all: /** @type {any} */ ([{ model }]), of: (id) => /** @type {any} */ (id === model ? [model] : []) });
    picker.models = models();
    const { signal } = (this.#isOpen = new AbortController());
    client.on('model', (one) => picker.update(one), { signal });
    client.on('models', () => { picker.models = models(); }, { signal });
    this.#dialog.showModal();
    picker.focus();
  }
}

customElements.define('model-replacer', ModelReplacer);
