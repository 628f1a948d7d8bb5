/**
 * `<parameter-form>`: parameters and system prompt, for all columns or for one.
 *
 * What is typed takes effect at once; what cannot be used is told at its field when that is left, and changes
 * nothing; the first attempt to leave the dialog says that it would be lost. An empty field shows the value in force and who set it; a changed one has a button that empties it. A
 * slider is for the pointer: in a number's field the arrow keys up and down do the same. Presets are in a
 * `<named-sets>`. The page loads this module on demand.
 *
 * Events: `parameters-set` with `{column, parameters, system}`, the column's id or null for all.
 */

import { PageElement, h, iconButton, setText } from './element.js';
import { FIELDS, inForce, read, write } from '../model/parameter-fields.js';
import { describe, tidy } from '../model/parameters.js';

/** @import { Field } from '../model/parameter-fields.js' */
/** @import { Memory, Workspace } from '../model/workspace.js' */
/** @import { NamedSets } from './named-sets.js' */

/** Longer system prompts are cut where they are shown as what holds. */
const MAX_SHOWN = 300;

export class ParameterForm extends PageElement {
  /** @type {Workspace | null} */
  workspace = null;
  /** @type {Memory | null} */
  memory = null;
  /** @type {string | null} */
  #column = null;
  /** @type {Record<string, unknown>} */
  #set = {};
  /** What was set when each field was last left; it stays so where a wrong value is typed. @type {Record<string, unknown>} */
  #kept = {};
  #scope = h('select', { id: 'parameter-scope' });
  #system = h('textarea', { id: 'parameter-system', rows: 4, 'aria-describedby': 'parameter-system-hint' });
  #systemHint = h('span', { id: 'parameter-system-hint', class: 'field-hint' });
  #systemReset = resetButton('System prompt');
  #rows = FIELDS.map(fieldRow);
  #presets = /** @type {NamedSets} */ (document.createElement('named-sets'));
  #close = iconButton('close', 'Close');
  #resetAll = h('button', { type: 'button', class: 'quiet' }, 'Reset all');
  /** Says what would be lost. */
  #warning = h('p', { class: 'field-hint is-wrong', role: 'alert' });
  #dialog = h('dialog', { class: 'sheet parameter-sheet', 'aria-labelledby': 'parameters-title' },
    h('header', {}, h('h2', { id: 'parameters-title' }, 'Parameters'), this.#resetAll, this.#close), this.#warning,
    h('div', { class: 'field' }, h('label', { for: this.#scope.id }, 'For'), this.#scope),
    h('div', { class: 'field' },
      h('div', { class: 'field-head' }, h('label', { for: this.#system.id }, 'System prompt'), this.#systemReset),
      this.#system, this.#systemHint),
    h('div', { class: 'fields' }, ...this.#rows.map(({ element }) => element)),
    h('section', { 'aria-labelledby': 'presets-title' }, h('h3', { id: 'presets-title' }, 'Presets'), this.#presets));

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#scope.addEventListener('change', () => {
      if (this.#mayLeave()) this.#show(this.#scope.value || null);
      else this.#scope.value = this.#column ?? '';
    }, { signal });
    this.#system.addEventListener('input', () => this.#take(), { signal });
    this.#systemReset.addEventListener('click', () => this.#empty(this.#system), { signal });
    this.#resetAll.addEventListener('click', () => this.#fill({}, ''), { signal });
    this.#presets.addEventListener('set-choose', (event) => {
      const { parameters, system } = /** @type {CustomEvent} */ (event).detail.value;
      this.#fill(parameters ?? {}, String(system ?? ''));
    }, { signal });
    for (const row of this.#rows) this.#connect(row, signal);
    this.#close.addEventListener('click', () => this.#leave(), { signal });
    this.#dialog.addEventListener('click', ({ target }) => target === this.#dialog && this.#leave(), { signal });
    this.#dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      this.#leave();
    }, { signal });
  }

  // Actions

  /** @param {string | null} column @param {{atSystem?: boolean}} [options] `atSystem`: begin at the system prompt. */
  open(column = null, { atSystem = false } = {}) {
    this.#show(column);
    this.#presets.show({
      memory: this.memory,
      key: 'presets',
      present: () => (this.#changes ? { parameters: tidy(this.#set), system: this.#system.value.trim() } : null),
      nothing: 'Nothing is changed that could be saved.',
      about: ({ parameters, system }) => [describe(parameters ?? {}), system && `“${cut(String(system), 60)}”`].filter(Boolean).join(' · '),
    });
    this.#dialog.showModal();
    if (atSystem) this.#system.focus();
  }

  // Internal

  /** How many are set. */
  get #changes() {
    return Object.values(this.#set).filter((value) => value != null).length + (this.#system.value.trim() ? 1 : 0);
  }

  /** @param {ReturnType<typeof fieldRow>} row @param {AbortSignal} signal */
  #connect({ field, input, reset, slider }, signal) {
    input.addEventListener('input', () => this.#take(), { signal });
    input.addEventListener('change', () => this.#take({ isLeft: true }), { signal });
    reset.addEventListener('click', () => this.#empty(input), { signal });
    slider?.addEventListener('input', () => {
      input.value = slider.value;
      this.#take();
    }, { signal });
    input.addEventListener('keydown', (/** @type {Event} */ event) => {
      const { key } = /** @type {KeyboardEvent} */ (event);
      const by = { ArrowUp: 1, ArrowDown: -1 }[key];
      if (key === 'Enter' && input instanceof HTMLInputElement) this.#take({ isLeft: true });
      if (!by || !slider) return;
      event.preventDefault();
      const { min = 0, max = 0, step = 1 } = field;
      const next = Number(input.value.replace(',', '.') || slider.value) + by * step;
      if (Number.isNaN(next)) return;
      input.value = String(Number(Math.min(max, Math.max(min, next)).toFixed(2)));
      this.#take();
    }, { signal });
  }

  #leave() {
    if (this.#mayLeave()) this.#dialog.close();
  }

  /** Whether the values may go; wrong ones only once it is said that they would be lost. */
  #mayLeave() {
    this.#check(true);
    const wrong = this.#rows.filter(({ input }) => input.getAttribute('aria-invalid') === 'true');
    const names = new Intl.ListFormat('en').format(wrong.map(({ field }) => field.label));
    const words = names && `Not valid, so not used: ${names}. Correct ${wrong.length > 1 ? 'them' : 'it'}, or leave again without ${wrong.length > 1 ? 'them' : 'it'}.`;
    if (words === this.#warning.textContent) return true;
    setText(this.#warning, words);
    wrong[0]?.input.focus();
    return !words;
  }

  /** @param {string | null} id */
  #show(id) {
    if (!this.workspace) return;
    const { columns, settings } = this.workspace;
    const column = columns.get(id ?? '');
    this.#column = column?.id ?? null;
    this.#scope.replaceChildren(h('option', { value: '' }, 'All columns'), ...(this.workspace.isSecret ? [] : columns.all.map((one) =>
      h('option', { value: one.id }, this.workspace?.label(one) ?? one.id))));
    this.#scope.value = this.#column ?? '';
    this.#write(column ? column.parameters : settings.parameters, (column ? column.system : settings.system) ?? '');
  }

  /** Take values that somebody chose. @param {Record<string, unknown>} parameters @param {string} system */
  #fill(parameters, system) {
    this.#write(parameters, system);
    this.#take();
  }

  /** Write values into the fields. @param {Record<string, unknown>} parameters @param {string} system */
  #write(parameters, system) {
    const { workspace } = this;
    if (!workspace) return;
    const common = this.#column === null ? {} : workspace.settings.parameters;
    const models = workspace.isSecret ? [] : workspace.modelsOf(workspace.columns.get(this.#column ?? ''));
    this.#set = { ...parameters };
    this.#kept = { ...parameters };
    setText(this.#warning, '');
    const longest = Math.max(0, ...models.map(({ limits }) => Number(limits.max_total_tokens ?? 0)));
    for (const { field, input, hint, slider } of this.#rows) {
      input.value = write(parameters[field.name]);
      const { text, value } = workspace.isSecret && common[field.name] == null ? { text: 'as each model is set', value: null } : inForce(field.name, common, models);
      input.placeholder = text;
      if (slider && field.name === 'max_new_tokens' && longest) slider.max = String(longest);
      if (slider) slider.defaultValue = String(value ?? '');
      this.#tell(input, hint, field.help, false);
    }
    this.#system.value = system;
    const inherited = this.#column !== null && workspace.settings.system;
    const prompts = [...new Set(models.map(({ config }) => config?.system ?? ''))];
    this.#system.placeholder = inherited ? `${cut(inherited, MAX_SHOWN)} (set for all columns)`
      : prompts.length > 1 || workspace.isSecret ? 'Each model has its own.' : prompts[0] ? `${cut(prompts[0], MAX_SHOWN)} (set by the model)` : 'None is set.';
    setText(this.#systemHint, 'What the models are told before every conversation');
    this.#mark();
  }

  /** Take what can be used. @param {{isLeft?: boolean}} [options] */
  #take({ isLeft = false } = {}) {
    if (!isLeft) setText(this.#warning, ''); // a field was edited
    this.#check(isLeft);
    this.#mark();
    this.announce('parameters-set', { column: this.#column, parameters: { ...this.#set }, system: this.#system.value.trim() });
  }

  /** Read the fields; wrong values are told once their field is left. @param {boolean} isLeft */
  #check(isLeft) {
    for (const { field, input, hint } of this.#rows) {
      try {
        this.#set[field.name] = read(field, input.value);
        if (isLeft) this.#kept[field.name] = this.#set[field.name];
        this.#tell(input, hint, field.help, false);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        this.#set[field.name] = this.#kept[field.name];
        if (isLeft) this.#tell(input, hint, error.message, true);
      }
    }
  }

  /** @param {HTMLInputElement | HTMLTextAreaElement} input */
  #empty(input) {
    input.value = '';
    input.focus();
    this.#take();
  }

  /** Mark what is changed, and show values on the sliders. */
  #mark() {
    for (const { input, reset, slider } of this.#rows) {
      reset.hidden = input.value === '';
      if (!slider) continue;
      slider.classList.toggle('is-unset', input.value === '');
      const value = Number(input.value.replace(',', '.') || Number.NaN);
      slider.value = Number.isNaN(value) ? slider.defaultValue : String(value);
    }
    this.#systemReset.hidden = this.#system.value === '';
    this.#resetAll.hidden = this.#changes === 0;
  }

  /** @param {HTMLElement} input @param {HTMLElement} hint @param {string} text @param {boolean} isWrong */
  #tell(input, hint, text, isWrong) {
    input.setAttribute('aria-invalid', String(isWrong));
    hint.classList.toggle('is-wrong', isWrong);
    setText(hint, text);
  }
}

/** @param {Field} field */
function fieldRow(field) {
  const id = `parameter-${field.name}`;
  const described = { id, 'aria-describedby': `${id}-hint` };
  const input = field.min === undefined
    ? h('textarea', { ...described, rows: 2 })
    : h('input', { ...described, inputmode: field.words ? 'text' : field.step === 1 ? 'numeric' : 'decimal', autocomplete: 'off' });
  const [least, most] = field.slide ?? [];
  const slider = least === undefined ? null
    : h('input', { type: 'range', min: least, max: most ?? 0, step: field.step ?? 1, tabindex: -1, 'aria-hidden': 'true' });
  const reset = resetButton(field.label);
  const hint = h('span', { id: `${id}-hint`, class: 'field-hint' });
  const element = h('div', { class: 'field' },
    h('div', { class: 'field-head' }, h('label', { for: id }, field.label), reset),
    h('div', { class: 'field-value' }, ...(slider ? [slider] : []), input), hint);
  return { element, field, hint, input, reset, slider };
}

/** @param {string} label */
function resetButton(label) {
  return h('button', { type: 'button', class: 'field-reset', title: 'Back to what holds without it', hidden: true }, h('span', { 'aria-hidden': 'true' }, '↺'), h('span', { class: 'unseen' }, `Reset ${label}`));
}

/** @param {string} text @param {number} length */
function cut(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

customElements.define('parameter-form', ParameterForm);
