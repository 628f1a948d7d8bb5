/**
 * `<answer-turn>`: one column's answer to one prompt, and the buttons for it. It comes after the page,
 * with all that it needs.
 *
 * Events, all with `{turn}` and some with the column's id: `answer-retry`, `answer-go-on`,
 * `answer-copy` with `{text}`, `answer-common` with `{answer}`; and `answer-learn` with `{answer}`,
 * when its tokens have to be fetched first. `answer-retry` has `leave` where something is to be left
 * out. `chat-new` has none.
 */

import { AnswerView } from './answer-view.js';
import { PageElement, h, iconButton, setLabel } from './element.js';
import { icon } from './icons.js';
import { Pager } from './pager.js';

/** @import { Conversation, Turn } from '../model/conversation.js' */
/** @import { AnswerContext } from './answer-view.js' */

/** @typedef {{turn: Turn, column: string, conversation: Conversation, context: AnswerContext}} TurnParts */

export class AnswerTurn extends PageElement {
  #conversation;
  #column;
  #context;
  /** @type {AnswerView | null} */
  #view = null;

  #place = h('div', { class: 'answer-place' });
  #attempts = new Pager('Answer', (by) => this.#conversation.showAnswer(this.turn, this.#column, by));
  #copy = iconButton('copy', 'Copy this answer');
  #retry = iconButton('retry', 'Ask again');
  #goOn = iconButton('on', 'Go on with this answer');
  #common = iconButton('common', 'Have all columns go on from this answer', { 'aria-pressed': 'false' });
  #sure = h('button', { type: 'button', class: 'quiet how-sure', title: 'How sure it was', 'aria-label': 'How sure it was', 'aria-pressed': 'false', 'data-tells': true }, icon('sure'), 'How sure');
  #source = iconButton('raw', 'As it was written', { 'aria-pressed': 'false' });
  #trim = h('button', { type: 'button', class: 'quiet' }, 'Leave out the oldest turns');
  #anew = h('button', { type: 'button', class: 'quiet' }, 'New chat');
  #full = h('div', { class: 'choices', role: 'group', 'aria-label': 'Context full', hidden: true }, this.#trim, this.#anew);
  #actions = h('div', { class: 'actions' }, this.#attempts.element, this.#copy, this.#source, this.#sure, this.#retry, this.#goOn, this.#common);

  /** @param {TurnParts} parts */
  constructor({ turn, column, conversation, context }) {
    super();
    this.turn = turn;
    this.#column = column;
    this.#conversation = conversation;
    this.#context = context;
  }

  get answer() {
    return this.turn.answer(this.#column);
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#place, this.#full, this.#actions);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    const { turn } = this;
    const column = this.#column;
    const on = (/** @type {Element} */ element, /** @type {() => void} */ act) =>
      element.addEventListener('click', act, { signal });
    on(this.#copy, () => this.announce('answer-copy', { text: this.answer?.text ?? '', button: this.#copy }));
    on(this.#sure, () => {
      if (!this.#view) return;
      const { answer, showsTokens } = this.#view;
      if (!showsTokens && !answer.hasTokens) return this.announce('answer-learn', { answer });
      this.#view.showsTokens = !showsTokens;
      this.#render();
    });
    on(this.#source, () => {
      if (this.#view) this.#view.showsSource = !this.#view.showsSource;
      this.#render();
    });
    on(this.#trim, () => this.announce('answer-retry', { turn, column, leave: { isTrimmed: true } }));
    on(this.#anew, () => this.announce('chat-new'));
    on(this.#retry, () => this.announce('answer-retry', { turn, column }));
    on(this.#goOn, () => this.announce('answer-go-on', { turn, column }));
    on(this.#common, () => {
      const id = this.answer?.id ?? null;
      this.announce('answer-common', { turn, answer: turn.common === id ? null : id });
    });
    this.addEventListener('answer-change', () => this.#render(), { signal });
    this.addEventListener('answer-lenient', () => this.announce('answer-retry', { turn, column, leave: { isLenient: true } }), { signal });
    this.#render();
  }

  // Actions

  /** Render again: something outside has changed. */
  refresh() {
    this.#view?.refresh();
    this.#render();
  }

  /** Show the figures of now. */
  tick() {
    this.#view?.tick();
  }

  // Internal

  /** The last known `answeredBy` of this column before this turn. */
  get #answeredBefore() {
    let turn = this.#conversation.parentOf(this.turn);
    while (turn && !turn.answer(this.#column)?.answeredBy) turn = this.#conversation.parentOf(turn);
    return turn?.answer(this.#column)?.answeredBy ?? '';
  }

  #render() {
    const { answer, turn } = this;
    if (!this.#place.hasChildNodes() || answer !== (this.#view?.answer ?? null)) {
      this.#view = answer && new AnswerView(answer, this.#context, () => this.#answeredBefore);
      this.#place.replaceChildren(this.#view ?? h('p', { class: 'footnote' }, 'Not asked here.'));
      this.classList.toggle('is-unasked', !answer);
      setLabel(this.#retry, answer ? 'Ask again' : 'Ask this column too');
    }
    const isLive = answer?.isLive ?? false;
    const slot = turn.slots.get(this.#column);
    this.#attempts.show(slot?.shown ?? 0, slot?.answers.length ?? 0);
    this.#actions.hidden = isLive;
    this.#copy.hidden = !answer?.text;
    this.#source.hidden = !answer?.text;
    this.#source.setAttribute('aria-pressed', String(this.#view?.showsSource ?? false));
    const isFull = answer?.isFull || answer?.error?.code === 'prompt_too_long';
    this.#full.hidden = isLive || !isFull || turn.parent === null; // without earlier turns neither helps
    this.#trim.hidden = answer?.isTrimmed ?? false;
    this.#sure.hidden = isLive || !answer?.mayHaveTokens;
    this.#sure.setAttribute('aria-pressed', String(this.#view?.showsTokens ?? false));
    this.#goOn.hidden = !answer?.isPart || answer.isFull;
    this.#common.hidden = !answer?.text;
    this.#common.setAttribute('aria-pressed', String(answer !== null && turn.common === answer.id));
  }
}

customElements.define('answer-turn', AnswerTurn);
