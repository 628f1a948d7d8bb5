/**
 * `<short-lists>`: a dialog with the choices of models that were saved by a name.
 *
 * A shortlist keeps the columns with their parameters. Of models that are gone it says how many. The page loads
 * this module on demand.
 */

import { PageElement, h, iconButton, letClose, setText } from './element.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Column, Columns } from '../model/columns.js' */
/** @import { Memory } from '../model/workspace.js' */
/** @import { NamedSets } from './named-sets.js' */

/** @typedef {{client: SidestreamClient, columns: Columns, memory: Memory}} Parts */

export class ShortLists extends PageElement {
  /** @type {Parts | null} */
  parts = null;
  #sets = /** @type {NamedSets} */ (document.createElement('named-sets'));
  #state = h('p', { class: 'field-hint', role: 'status' });
  #close = iconButton('close', 'Close');
  #dialog = h('dialog', { class: 'sheet', 'aria-labelledby': 'shortlists-title' },
    h('header', {}, h('h2', { id: 'shortlists-title' }, 'Shortlists'), this.#close),
    h('p', { class: 'field-hint' }, 'Save the models that are chosen now, with the parameters of their columns, and choose them again later.'),
    this.#sets, this.#state);

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    letClose(this.#dialog, this.#close, signal);
    this.#sets.addEventListener('set-choose', (event) => this.#choose(/** @type {CustomEvent} */ (event).detail.value), { signal });
  }

  // Actions

  open() {
    const { parts } = this;
    if (!parts) return;
    const { client, columns, memory } = parts;
    this.#sets.show({
      memory,
      key: 'shortlists',
      present: () => (columns.chosen.length ? columns.chosen : null),
      nothing: 'Choose models first.',
      about: (saved) => this.#known(saved).map(({ model }) => client.nameOf(model)).join(', ') || 'None of its models is here.',
    });
    setText(this.#state, '');
    this.#dialog.showModal();
    this.#sets.focus(); // otherwise it would be on the button that closes
  }

  // Internal

  /** @param {unknown} columns @returns {Column[]} Those whose models are here. */
  #known(columns) {
    return Array.isArray(columns) ? columns.filter((one) => this.parts?.client.models.has(one?.model)) : [];
  }

  /** @param {unknown[]} columns */
  #choose(columns) {
    const known = this.#known(columns);
    if (known.length) this.parts?.columns.restore(known);
    const gone = columns.length - known.length;
    if (!gone) return this.#dialog.close();
    setText(this.#state, `${gone} of ${columns.length} models are not here any more.`);
  }
}

customElements.define('short-lists', ShortLists);
