/**
 * `<named-sets>`: things that are saved by a name in this browser: chosen again, replaced, removed.
 *
 * It serves the presets of parameters and the shortlists of models. What was removed or replaced can be had back.
 * The page loads this module on demand.
 *
 * Events: `set-choose` with `{value}`.
 */

import { PageElement, h, iconButton, setText } from './element.js';

/** @import { Memory } from '../model/workspace.js' */

/** @typedef {{name: string, value: any}} NamedSet */

/**
 * @typedef {object} Parts
 * @property {Memory | null} memory
 * @property {string} key Under which they are stored.
 * @property {() => unknown} present Returns what would be saved now, null for nothing.
 * @property {string} nothing Says why nothing can be saved.
 * @property {(value: any) => string} about Says in a line what was saved.
 */

const MAX_NAME = 60;

export class NamedSets extends PageElement {
  /** @type {Parts | null} */
  #parts = null;
  /** What was there before the last change. @type {NamedSet[]} */
  #before = [];
  #list = h('ul', { class: 'sets' });
  #name = h('input', { 'aria-label': 'Name', placeholder: 'Save as…', maxlength: MAX_NAME, autocomplete: 'off' });
  #save = h('button', { class: 'quiet' }, 'Save');
  #form = h('form', { class: 'sets-form' }, this.#name, this.#save);
  #said = h('span', {});
  #undo = h('button', { type: 'button', class: 'quiet', hidden: true }, 'Undo');
  #state = h('p', { class: 'sets-state', role: 'status' }, this.#said, ' ', this.#undo);

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#list, this.#form, this.#state);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#add(this.#name.value.trim());
    }, { signal });
    this.#undo.addEventListener('click', () => {
      this.#store(this.#before, 'It is as it was.');
      this.#name.focus();
    }, { signal });
  }

  // Actions

  /** @override */
  focus() {
    this.#name.focus();
  }

  /** Show what is stored. @param {Parts} parts */
  show(parts) {
    this.#parts = parts;
    this.#tell('', false);
    this.#render();
  }

  // Internal

  /** @returns {NamedSet[]} */
  get #sets() {
    const stored = this.#parts?.memory?.get(this.#parts.key);
    return Array.isArray(stored) ? stored.filter((one) => typeof one?.name === 'string' && one.value) : [];
  }

  /** @param {string} name */
  #add(name) {
    const value = this.#parts?.present();
    const wrong = !name ? 'Give it a name first.' : value ? '' : this.#parts?.nothing ?? '';
    this.#name.setAttribute('aria-invalid', String(!name));
    if (wrong) return this.#tell(wrong, false);
    const former = this.#sets;
    const others = former.filter((one) => one.name !== name);
    const isNew = others.length === former.length;
    this.#store([...others, { name, value }].sort((a, b) => a.name.localeCompare(b.name)), isNew ? `“${name}” is saved.` : `“${name}” is replaced.`, !isNew);
    this.#name.value = '';
  }

  /** @param {NamedSet} set */
  #remove({ name }) {
    this.#store(this.#sets.filter((one) => one.name !== name), `“${name}” is removed.`, true);
    this.#undo.focus();
  }

  /** @param {NamedSet[]} sets @param {string} words @param {boolean} [canUndo] */
  #store(sets, words, canUndo = false) {
    this.#before = this.#sets;
    this.#parts?.memory?.set(this.#parts.key, sets);
    this.#tell(words, canUndo);
    this.#render();
  }

  /** @param {string} words @param {boolean} canUndo */
  #tell(words, canUndo) {
    setText(this.#said, words);
    this.#undo.hidden = !canUndo;
  }

  #render() {
    this.#list.replaceChildren(...this.#sets.map((set) => {
      const choose = h('button', { type: 'button', class: 'set' }, h('b', {}, set.name), h('span', {}, this.#parts?.about(set.value) ?? ''));
      choose.addEventListener('click', () => {
        this.#tell(`“${set.name}” is chosen.`, false);
        this.announce('set-choose', { value: set.value });
      });
      const remove = iconButton('close', `Remove ${set.name}`);
      remove.addEventListener('click', () => this.#remove(set));
      return h('li', {}, choose, remove);
    }));
  }
}

customElements.define('named-sets', NamedSets);
