/**
 * `<answer-view>`: one answer as it grows.
 *
 * The text goes straight from the answer into the page, collected for the next frame: no store, no
 * comparison. All else (what it waits for, how it ended, an error) changes rarely and is simply
 * written anew. How text becomes nodes is the matter of `MarkdownWriter`.
 *
 * Events: `answer-change` when anything but its text has changed; `answer-lenient` when it is to be
 * asked again without what its server refuses.
 */

import { copyCode } from './clipboard.js';
import { PageElement, h, setText } from './element.js';
import { MarkdownWriter } from './markdown-writer.js';
import { notice, rich } from './notice.js';
import { describe, offered } from '../model/parameters.js';
import { TokenView } from './token-view.js';
import { costWords, remark, waitFraction, waitWords } from './remarks.js';
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
  #answeredBefore;
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
  #remarks = h('ul', { class: 'remarks', hidden: true });
  #footnote = h('p', { class: 'footnote', hidden: true });

  #job = {
    write: () => this.#write(),
    settle: () => this.#around.scroll.settle(),
  };

  /** @param {Answer} answer @param {Surroundings} around @param {() => string} answeredBefore Who answered the turn before. */
  constructor(answer, around, answeredBefore) {
    super();
    this.answer = answer;
    this.#around = around;
    this.#answeredBefore = answeredBefore;
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#waiting, this.#answer, this.#problem, this.#remarks, this.#footnote);
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
    this.#writeRemarks();
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
    const { notice: told, state, waitedMs } = this.answer;
    const isSecret = this.#around.isSecret();
    const model = isSecret ? undefined : this.#around.model(this.answer.model);
    setText(this.#waitingText, told ? waitWords(told, { isSecret, waitedMs }) : waitingFor(this.answer, model));
    const progress = ['starting', 'waiting'].includes(state) && !told ? model?.progress : null;
    const fraction = told ? waitFraction(told) : progress?.fraction ?? null;
    this.#progress.hidden = !progress && fraction === null && told?.code !== 'server_loads';
    if (fraction === null) this.#progress.removeAttribute('value');
    else this.#progress.value = fraction;
  }

  #writeError() {
    const { error } = this.answer;
    // An error names its model; while that is hidden its kind has to do.
    const isSecret = this.#around.isSecret();
    const canBeLeftOut = error?.code === 'invalid_parameters' && !this.answer.isLenient
      && !!(/** @type {any} */ (error.details)?.parameter || this.#around.model(this.answer.model)?.server);
    const shown = error && isSecret ? { code: error.code, message: errorTitle(error.code) }
      : canBeLeftOut ? { ...error, hint: null } : error; // its hint is the button
    const words = shown && `${shown.code} ${shown.message}`;
    if (words === this.#shownError) return;
    this.#shownError = words;
    this.#problem.replaceChildren(...(shown ? [notice(shown, { isAlert: true })] : []));
    if (!canBeLeftOut) return;
    const ask = h('button', { type: 'button', class: 'quiet ask-without' }, 'Ask without it');
    ask.addEventListener('click', () => this.announce('answer-lenient'));
    this.#problem.firstElementChild?.append(ask);
  }

  #writeRemarks() {
    const { isLive, notices } = this.answer;
    const shown = isLive || this.#around.isSecret() ? [] : notices.map(remark); // they may name the model
    this.#remarks.hidden = shown.length === 0;
    const words = shown.map(({ text }) => text).join('\n');
    if (this.#remarks.dataset.words === words) return;
    this.#remarks.dataset.words = words;
    this.#remarks.replaceChildren(...shown.map(({ text, isGrave }) => h('li', { class: isGrave && 'is-grave' }, ...rich(text))));
  }

  #writeFootnote() {
    const { answeredBy, cost, details, figures, finishReason, model, parameters } = this.answer;
    const { isOwn, isSecret, model: find } = this.#around;
    const before = this.#answeredBefore();
    const isOther = answeredBy && before && before !== answeredBy;
    const isCostUnknown = !cost && finishReason && !this.answer.isCached && find(model)?.capabilities?.cost;
    const told = isSecret() ? [] : [
      details.finish_reason && details.finish_reason !== finishReason ? `the server calls it “${details.finish_reason}”` : '',
      finishReason === 'cancelled' && find(model)?.capabilities?.cancel === false ? 'the server computes on' : '',
      isOwn(model) ? '' : `by ${find(model)?.name ?? model}`,
      answeredBy && !isOther ? `answered by ${answeredBy}` : '',
      describe(offered(parameters)),
    ];
    const line = (/** @type {string} */ name, /** @type {string[]} */ ...parts) =>
      parts.filter(Boolean).map((part) => h('span', { class: name }, ` · ${part}`));
    this.#footnote.replaceChildren(
      h('span', {}, ending(this.answer)),
      ...line('earlier', figuresLine({ ...figures, isEstimated: figures.isEstimated && find(model)?.server !== null })),
      ...line('cost', isSecret() ? '' : cost ? costWords(cost) : isCostUnknown ? 'cost –' : ''),
      ...line('is-changed', isOther && !isSecret() ? `answered by ${answeredBy}, before by ${before}` : ''),
      ...line('asked-with', ...told),
    );
  }
}

customElements.define('answer-view', AnswerView);
