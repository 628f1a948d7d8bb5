/**
 * `<parameter-form>`: what models are asked with; for all columns, or for one alone.
 *
 * What is typed is taken in when it is left or Enter is pressed; what cannot be is said below its
 * field and changes nothing. An empty field shows what holds then, as far as that is known: the common
 * value, else what the one model that is asked is set to, else what its server takes by itself.
 *
 * Events: `parameters-set` with `{column, parameters, system}`, the column's id or null for all.
 */

import { PageElement, h, iconButton, letClose, setText } from './element.js';
import { FIELDS, read, write } from '../model/parameters.js';

/** @import { Workspace } from '../model/workspace.js' */

export class ParameterForm extends PageElement {
  /** @type {Workspace | null} */
  workspace = null;
  /** @type {string | null} */
  #column = null;
  #scope = h('select', { id: 'parameter-scope' });
  #system = h('textarea', { id: 'parameter-system', rows: 3, dir: 'auto' });
  #inputs = FIELDS.map((field) => {
    const id = `parameter-${field.name}`;
    const input = field.min === undefined
      ? h('textarea', { id, rows: 2, 'aria-describedby': `${id}-hint` })
      : h('input', { id, inputmode: field.step === 1 ? 'numeric' : 'decimal', autocomplete: 'off', 'aria-describedby': `${id}-hint` });
    return { field, input, hint: h('span', { id: `${id}-hint`, class: 'field-hint' }) };
  });
  #close = iconButton('close', 'Close');
  #dialog = h('dialog', { class: 'sheet', 'aria-labelledby': 'parameters-title' },
    h('header', {}, h('h2', { id: 'parameters-title' }, 'Parameters'), this.#close),
    h('label', { for: this.#scope.id }, 'For'), this.#scope,
    h('div', { class: 'fields' }, ...this.#inputs.map(({ field, input, hint }) =>
      h('div', { class: 'field' }, h('label', { for: input.id }, field.label), input, hint))),
    h('label', { for: this.#system.id }, 'System prompt'), this.#system);

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#scope.addEventListener('change', () => this.#show(this.#scope.value || null), { signal });
    this.#dialog.addEventListener('change', ({ target }) => target !== this.#scope && this.#take(), { signal });
    letClose(this.#dialog, this.#close, signal);
    this.#dialog.addEventListener('keydown', ({ key, target }) => {
      if (key === 'Enter' && target instanceof HTMLInputElement) this.#take();
    }, { signal });
  }

  // Actions

  /** @param {string | null} column */
  open(column = null) {
    this.#show(column);
    this.#dialog.showModal();
  }

  // Internal

  /** @param {string | null} id */
  #show(id) {
    if (!this.workspace) return;
    const { columns, settings } = this.workspace;
    const column = columns.get(id ?? '');
    this.#column = column?.id ?? null;
    this.#scope.replaceChildren(h('option', { value: '' }, 'All columns'), ...(this.workspace.isSecret ? [] : columns.all.map((one) =>
      h('option', { value: one.id }, this.workspace?.label(one) ?? one.id))));
    this.#scope.value = this.#column ?? '';
    const parameters = column ? column.parameters : settings.parameters;
    const model = this.workspace.isSecret ? undefined : this.workspace.modelOf(column);
    for (const { field, input, hint } of this.#inputs) {
      input.value = write(parameters[field.name]);
      const holds = (column ? settings.parameters[field.name] : null) ?? model?.parameters?.[field.name] ?? model?.defaults?.[field.name];
      input.placeholder = write(holds) || (model?.server ? 'the server’s own' : 'as the model is set');
      this.#tell(input, hint, field.hint, false);
    }
    this.#system.value = (column ? column.system : settings.system) ?? '';
    this.#system.placeholder = (column && settings.system) || 'as the model is set';
  }

  #take() {
    /** @type {Record<string, unknown>} */
    const parameters = {};
    let isValid = true;
    for (const { field, input, hint } of this.#inputs) {
      try {
        parameters[field.name] = read(field, input.value);
        this.#tell(input, hint, field.hint, false);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        this.#tell(input, hint, error.message, true);
        isValid = false;
      }
    }
    const system = this.#system.value.trim();
    if (isValid) this.announce('parameters-set', { column: this.#column, parameters, system });
  }

  /** @param {HTMLElement} input @param {HTMLElement} hint @param {string} text @param {boolean} isWrong */
  #tell(input, hint, text, isWrong) {
    input.setAttribute('aria-invalid', String(isWrong));
    setText(hint, text);
  }
}

customElements.define('parameter-form', ParameterForm);
