/**
 * `<answer-turn>`: one prompt, one column's answer to it, and what can be done with both.
 *
 * Events, all with `{turn}` and some with the column's id: `turn-edit` with `{text}`, `turn-show`,
 * `answer-retry`, `answer-go-on`, `answer-copy` with `{text}`, `answer-common` with `{answer}`; and
 * `answer-learn` with `{answer}`, when tokens are to be shown that are not here. `answer-retry` has
 * `isLenient` where it is to be asked without what its server refuses.
 */

import { AnswerView } from './answer-view.js';
import { PageElement, h, iconButton, setText } from './element.js';
import { Pager } from './pager.js';

/** @import { Conversation, Turn } from '../model/conversation.js' */
/** @import { Surroundings } from './answer-view.js' */

export class AnswerTurn extends PageElement {
  #conversation;
  #column;
  #around;
  /** @type {AnswerView | null} */
  #view = null;

  #prompt = h('p', { class: 'prompt', dir: 'auto' });
  #edit = iconButton('edit', 'Edit this prompt');
  #branches = new Pager('Branch', (by) => this.#showBranch(by));
  #asked = h('div', { class: 'asked' }, h('div', { class: 'actions' }, this.#branches.element, this.#edit), this.#prompt);
  #place = h('div', { class: 'answer-place' });
  #attempts = new Pager('Answer', (by) => this.#conversation.showAnswer(this.turn, this.#column, by));
  #copy = iconButton('copy', 'Copy this answer');
  #retry = iconButton('retry', 'Ask again');
  #goOn = iconButton('on', 'Go on with this answer');
  #common = iconButton('common', 'Have all columns go on from this answer', { 'aria-pressed': 'false' });
  #sure = iconButton('sure', 'How sure it was', { 'aria-pressed': 'false' });
  #actions = h('div', { class: 'actions' }, this.#attempts.element, this.#copy, this.#sure, this.#retry, this.#goOn, this.#common);

  /** @param {{turn: Turn, column: string, conversation: Conversation, around: Surroundings}} parts */
  constructor({ turn, column, conversation, around }) {
    super();
    this.turn = turn;
    this.#column = column;
    this.#conversation = conversation;
    this.#around = around;
  }

  get answer() {
    return this.turn.answer(this.#column);
  }

  // Lifecycle

  /** @override */
  build() {
    setText(this.#prompt, this.turn.prompt);
    this.append(this.#asked, this.#place, this.#actions);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    const { turn } = this;
    const column = this.#column;
    const on = (/** @type {Element} */ element, /** @type {() => void} */ act) =>
      element.addEventListener('click', act, { signal });
    on(this.#edit, () => this.#startEditing());
    on(this.#copy, () => this.announce('answer-copy', { text: this.answer?.text ?? '', button: this.#copy }));
    on(this.#sure, () => {
      if (!this.#view) return;
      const { answer, showsTokens } = this.#view;
      if (!showsTokens && !answer.hasTokens) return this.announce('answer-learn', { answer });
      this.#view.showsTokens = !showsTokens;
      this.#render();
    });
    on(this.#retry, () => this.announce('answer-retry', { turn, column }));
    on(this.#goOn, () => this.announce('answer-go-on', { turn, column }));
    on(this.#common, () => {
      const id = this.answer?.id ?? null;
      this.announce('answer-common', { turn, answer: turn.common === id ? null : id });
    });
    this.addEventListener('answer-change', () => this.#render(), { signal });
    this.addEventListener('answer-lenient', () => this.announce('answer-retry', { turn, column, isLenient: true }), { signal });
    this.#conversation.on('turn', (changed) => changed === turn && this.#render(), { signal });
    this.#render();
  }

  // Actions

  /** Take in that something around it changed. */
  refresh() {
    this.#view?.refresh();
    this.#render();
  }

  // Internal

  /** Who answered last in this column before this turn, as far as that is told. */
  get #answeredBefore() {
    let turn = this.#conversation.parentOf(this.turn);
    while (turn && !turn.answer(this.#column)?.answeredBy) turn = this.#conversation.parentOf(turn);
    return turn?.answer(this.#column)?.answeredBy ?? '';
  }

  #render() {
    const { answer, turn } = this;
    if (!this.#place.hasChildNodes() || answer !== (this.#view?.answer ?? null)) {
      this.#view = answer && new AnswerView(answer, this.#around, () => this.#answeredBefore);
      this.#place.replaceChildren(this.#view ?? h('p', { class: 'footnote' }, 'Not asked here.'));
    }
    const isLive = answer?.isLive ?? false;
    const siblings = this.#conversation.siblings(turn);
    this.#branches.show(siblings.indexOf(turn), siblings.length);
    const slot = turn.slots.get(this.#column);
    this.#attempts.show(slot?.shown ?? 0, slot?.answers.length ?? 0);
    this.#actions.hidden = isLive;
    this.#copy.hidden = !answer?.text;
    this.#sure.hidden = isLive || !answer?.mayHaveTokens;
    this.#sure.setAttribute('aria-pressed', String(this.#view?.showsTokens ?? false));
    this.#goOn.hidden = !answer?.isPart;
    this.#common.hidden = !answer?.text;
    this.#common.setAttribute('aria-pressed', String(answer !== null && turn.common === answer.id));
  }

  /** @param {number} by */
  #showBranch(by) {
    const siblings = this.#conversation.siblings(this.turn);
    this.#conversation.show(siblings[siblings.indexOf(this.turn) + by]);
  }

  #startEditing() {
    const field = h('textarea', { class: 'edit-field', 'aria-label': 'Edit the prompt', rows: 3, dir: 'auto' });
    field.value = this.turn.prompt;
    const send = h('button', { type: 'submit', class: 'send' }, 'Send');
    const cancel = h('button', { type: 'button', class: 'quiet' }, 'Cancel');
    const form = h('form', { class: 'edit-form' }, field, h('div', {}, cancel, send));
    const close = () => {
      form.replaceWith(this.#asked);
      this.#edit.focus();
    };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = field.value.trim();
      close();
      if (text) this.announce('turn-edit', { turn: this.turn, text });
    });
    form.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation(); // it is not meant for the answers
        close();
      } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.target === field) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    cancel.addEventListener('click', close);
    this.#asked.replaceWith(form);
    field.focus();
    field.select();
  }
}

customElements.define('answer-turn', AnswerTurn);
