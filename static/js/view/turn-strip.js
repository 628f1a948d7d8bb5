/**
 * `<turn-strip>`: the prompt of the turn that the columns show, once for all of them.
 *
 * Two lines of it, or all; what is attached; editing, the other branches, and the way to the turns
 * before and after. While a prompt is edited, the strip stays with its turn.
 *
 * Events: `turn-edit` with `{turn, text}`, `turn-step` with `{by}`, `turn-branch` with `{by}`,
 * `turn-link` with `{isLinked}`; `attached-show` with `{place, attachments}`.
 */

import { PageElement, h, iconButton, setText } from './element.js';
import { Pager } from './pager.js';

/** @import { Turn } from '../model/conversation.js' */

/** More than two lines of the widest window; laying out a long text costs time. */
const CLOSED_CHARACTERS = 700;

/**
 * @typedef {{turn: Turn, index: number, count: number, branch: number, branches: number,
 *   isLinked: boolean, canLink: boolean, isOpenly: boolean}} Shown `index`: the turn's place among `count`, from 0; likewise `branch`;
 *   `isOpenly`: whether an edited prompt is answered with the names shown, although new ones are not.
 */

export class TurnStrip extends PageElement {
  /** @type {Shown | null} */
  #shown = null;
  /** @type {Turn | null} */
  #turn = null;
  /** @type {HTMLFormElement | null} */
  #form = null;
  #isOpen = false;

  #prompt = h('p', { class: 'prompt', dir: 'auto' });
  #attached = h('ul', { class: 'attached', 'aria-label': 'Attached' });
  #more = iconButton('right', 'Whole prompt', { 'aria-expanded': 'false', hidden: true });
  #asked = h('div', { class: 'asked' }, this.#attached, this.#prompt, this.#more);
  #turns = new Pager('Turn', (by) => this.announce('turn-step', { by }), { isUpright: true, beyond: ', or the newest text' });
  #branches = new Pager('Branch', (by) => this.announce('turn-branch', { by }));
  #edit = iconButton('edit', 'Edit this prompt');
  #note = h('span', {});
  #link = iconButton('link', 'Link the columns: all show the same turn');
  #tools = h('div', { class: 'turn-tools actions' }, this.#turns.element, this.#branches.element, this.#edit, this.#link);

  // Lifecycle

  /** @override */
  build() {
    this.setAttribute('role', 'group');
    this.append(this.#asked, this.#tools);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    const on = (/** @type {Element} */ element, /** @type {() => void} */ act) => element.addEventListener('click', act, { signal });
    on(this.#link, () => this.announce('turn-link', { isLinked: !this.#shown?.isLinked }));
    on(this.#edit, () => this.#startEditing());
    on(this.#more, () => {
      this.#isOpen = !this.#isOpen;
      this.#prompt.scrollTop = 0;
      this.#writePrompt();
    });
    const observer = new ResizeObserver(() => this.#measure());
    observer.observe(this.#prompt);
    signal.addEventListener('abort', () => observer.disconnect());
  }

  // Actions

  /** @param {Shown | null} shown Null: there is no turn. */
  show(shown) {
    this.#shown = shown;
    this.hidden = !shown;
    if (!shown) return this.#stopEditing();
    setText(this.#note, `What is there now stays, as another branch.${shown.isOpenly ? ' The new one is not blind: the names stay shown.' : ''}`);
    if (!this.#form) this.#write(shown);
  }

  // Internal

  /** @param {Shown} shown */
  #write({ turn, index, count, branch, branches, isLinked, canLink }) {
    this.setAttribute('aria-label', `Turn ${index + 1} of ${count}`);
    this.#turns.show(index, count);
    this.#branches.show(branch, branches);
    this.#link.hidden = !canLink || count < 2;
    this.#link.setAttribute('aria-pressed', String(isLinked));
    this.classList.toggle('has-turns', count > 1);
    if (turn === this.#turn) return;
    this.#turn = turn;
    this.#isOpen = false;
    this.#writePrompt();
    this.#showAttached(turn);
  }

  #writePrompt() {
    const { prompt } = /** @type {Turn} */ (this.#turn);
    this.classList.toggle('is-open', this.#isOpen);
    this.#prompt.hidden = !prompt;
    setText(this.#prompt, this.#isOpen ? prompt : prompt.slice(0, CLOSED_CHARACTERS));
    if (this.#isOpen) this.#prompt.tabIndex = 0; // it may scroll
    else this.#prompt.removeAttribute('tabindex');
    this.#more.setAttribute('aria-expanded', String(this.#isOpen));
    requestAnimationFrame(() => this.#measure());
  }

  /** Offer to open what does not fit. */
  #measure() {
    const { clientHeight, scrollHeight } = this.#prompt;
    const isCut = (this.#turn?.prompt.length ?? 0) > CLOSED_CHARACTERS || scrollHeight > clientHeight + 1;
    this.#more.hidden = !this.#isOpen && !isCut;
  }

  /** @param {Turn} turn */
  #showAttached({ attachments }) {
    const place = h('ul', { class: 'attached', 'aria-label': 'Attached', hidden: attachments.length === 0 });
    this.#attached.replaceWith(place);
    this.#attached = place;
    if (attachments.length > 0) this.announce('attached-show', { place, attachments });
  }

  #startEditing() {
    const turn = this.#turn;
    if (!turn || this.#form) return;
    const field = h('textarea', { class: 'edit-field', 'aria-label': 'Edit the prompt', rows: 3 });
    field.value = turn.prompt;
    const send = h('button', { type: 'submit', class: 'send' }, 'Send');
    const cancel = h('button', { type: 'button', class: 'quiet' }, 'Cancel');
    const form = h('form', { class: 'edit-form' }, field, h('div', {}, this.#note, cancel, send));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = field.value.trim();
      this.#stopEditing();
      if (text || turn.attachments.length > 0) this.announce('turn-edit', { turn, text });
    });
    form.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation(); // it is not meant for the answers
        this.#stopEditing();
      } else if (event.key === 'Enter' && !event.shiftKey && event.target === field) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    cancel.addEventListener('click', () => this.#stopEditing());
    this.#form = form;
    this.#asked.replaceWith(form);
    this.#tools.hidden = true;
    this.#mark(true);
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }

  /** On a phone there is room for one prompt that is written. @param {boolean} isEditing */
  #mark(isEditing) {
    this.closest('main')?.classList.toggle('is-editing', isEditing);
  }

  #stopEditing() {
    if (!this.#form) return;
    this.#form.replaceWith(this.#asked);
    this.#form = null;
    this.#tools.hidden = false;
    this.#mark(false);
    if (this.#shown) this.#write(this.#shown);
    this.#edit.focus();
  }
}

customElements.define('turn-strip', TurnStrip);
