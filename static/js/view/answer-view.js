/**
 * `<answer-view>`: one answer as it grows.
 *
 * The text goes straight from the answer into the page, collected for the next frame: no store, no
 * comparison. All else (what it waits for, how it ended, an error) changes rarely and is simply
 * written anew. How text becomes nodes is the matter of `MarkdownWriter`.
 *
 * Events: `answer-change` when anything but its text has changed.
 */

import { copyCode } from './clipboard.js';
import { PageElement, h, setText } from './element.js';
import { MarkdownWriter } from './markdown-writer.js';
import { notice } from './notice.js';
import { describe, offered } from '../model/parameters.js';
import { TokenView } from './token-view.js';
import { ending, errorTitle, figuresLine, waitingFor } from './words.js';

/** @import { Model } from '../client/protocol.js' */
/** @import { Answer } from '../model/answer.js' */
/** @import { Frames } from './frames.js' */
/** @import { StickyScroll } from './scroll.js' */

/**
 * @typedef {{frames: Frames, scroll: StickyScroll, isSecret: () => boolean, isOwn: (model: string) => boolean,
 *   model: (id: string) => Model | undefined}} Surroundings `isOwn`: whether it is the column's model now.
 */

export class AnswerView extends PageElement {
  #around;
  #unwritten = '';
  #written = 0;
  #isEnded = false;
  /** @type {string | null} The error shown. */
  #shownError = null;

  #answer = h('div', { class: 'answer' });
  /** In the place of the text. @type {TokenView | null} */
  #tokens = null;
  #text = new MarkdownWriter(this.#answer);
  #progress = h('progress', { max: 1, 'aria-label': 'Progress' });
  #waitingText = h('span', {});
  #waiting = h('div', { class: 'waiting' }, this.#waitingText, this.#progress);
  #problem = h('div', {});
  #footnote = h('p', { class: 'footnote', hidden: true });

  #job = {
    write: () => this.#write(),
    settle: () => this.#around.scroll.settle(),
  };

  /** @param {Answer} answer @param {Surroundings} around */
  constructor(answer, around) {
    super();
    this.answer = answer;
    this.#around = around;
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#waiting, this.#answer, this.#problem, this.#footnote);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#unwritten = this.answer.text.slice(this.#written);
    this.#answer.addEventListener('click', ({ target }) => copyCode(target), { signal });
    this.answer.on('text', (text) => this.#take(text), { signal });
    this.answer.on('change', () => this.#changed(), { signal });
    this.answer.on('tokens', ({ hasTokens }) => {
      this.showsTokens = hasTokens;
      this.announce('answer-change');
    }, { signal });
    this.#write();
    this.#around.frames.schedule(this.#job);
  }

  // Actions

  /** Whether its tokens are shown in the place of its text. */
  get showsTokens() {
    return this.#tokens !== null;
  }

  set showsTokens(shows) {
    this.#tokens?.remove();
    this.#tokens = shows ? new TokenView() : null;
    this.#answer.hidden = shows;
    if (!this.#tokens) return;
    this.#tokens.tokens = this.answer.tokens;
    this.#answer.after(this.#tokens);
  }

  /** Take in that something around it changed: its model's state, whether names are hidden. */
  refresh() {
    this.#around.frames.schedule(this.#job);
  }

  // Internal

  /** @param {string} text */
  #take(text) {
    this.#unwritten += text;
    this.#around.frames.schedule(this.#job);
  }

  #changed() {
    if (this.answer.isLive && this.#isEnded) this.#startAgain();
    if (this.answer.isLive && this.showsTokens) this.showsTokens = false;
    this.#around.frames.schedule(this.#job);
    this.announce('answer-change');
  }

  #write() {
    if (this.#unwritten) {
      this.#text.append(this.#unwritten);
      this.#written += this.#unwritten.length;
      this.#unwritten = '';
    }
    const { isLive } = this.answer;
    if (!isLive && !this.#isEnded) {
      this.#isEnded = true;
      this.#text.end();
    }
    const isWaiting = isLive && this.#text.isEmpty;
    this.#answer.classList.toggle('is-growing', isLive && !isWaiting);
    this.#answer.classList.toggle('is-empty', this.#text.isEmpty);
    this.#waiting.hidden = !isWaiting;
    if (isWaiting) this.#writeWaiting();
    this.#footnote.hidden = isLive;
    this.#writeError();
    if (!isLive) this.#writeFootnote();
  }

  /** What was ended cannot be added to: it is written anew, with what follows. */
  #startAgain() {
    this.#isEnded = false;
    this.#answer.replaceChildren();
    this.#text = new MarkdownWriter(this.#answer);
    this.#written = 0;
    this.#unwritten = this.answer.text;
  }

  #writeWaiting() {
    const model = this.#around.isSecret() ? undefined : this.#around.model(this.answer.model);
    setText(this.#waitingText, waitingFor(this.answer, model));
    const progress = ['starting', 'waiting'].includes(this.answer.state) ? model?.progress : null;
    this.#progress.hidden = !progress;
    if (progress?.fraction == null) this.#progress.removeAttribute('value');
    else this.#progress.value = progress.fraction;
  }

  #writeError() {
    const { error } = this.answer;
    // An error names its model; while that is hidden its kind has to do.
    const shown = error && this.#around.isSecret() ? { code: error.code, message: errorTitle(error.code) } : error;
    const words = shown && `${shown.code} ${shown.message}`;
    if (words === this.#shownError) return;
    this.#shownError = words;
    this.#problem.replaceChildren(...(shown ? [notice(shown, { isAlert: true })] : []));
  }

  #writeFootnote() {
    const { model, parameters } = this.answer;
    const { isOwn, isSecret, model: find } = this.#around;
    const by = isOwn(model) ? '' : `by ${find(model)?.name ?? model}`;
    const told = isSecret() ? [] : [by, describe(offered(parameters))].filter(Boolean);
    this.#footnote.replaceChildren(
      h('span', {}, ending(this.answer)),
      h('span', { class: 'earlier' }, ` · ${figuresLine(this.answer.figures)}`),
      ...told.map((part) => h('span', { class: 'asked-with' }, ` · ${part}`)),
    );
  }
}

customElements.define('answer-view', AnswerView);
