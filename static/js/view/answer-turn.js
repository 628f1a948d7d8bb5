/**
 * `<answer-turn>`: one prompt and one model's answer to it.
 *
 * The text goes straight from the generation into the page, collected for the next frame: no
 * store, no rendering of what is there already. All else (what it waits for, how it ended, an error) changes rarely and is
 * simply written anew.
 *
 * Events: `turn-change` when it begins to run, changes its state, or ends.
 */

import { copyCode } from './clipboard.js';
import { PageElement, h, setText } from './element.js';
import { Meter } from './figures.js';
import { MarkdownWriter } from './markdown-writer.js';
import { notice } from './notice.js';
import { ending, figuresLine, waitingFor } from './words.js';

/** @import { Generation } from '../client/generation.js' */
/** @import { Model, WireError } from '../client/protocol.js' */
/** @import { Frames } from './frames.js' */
/** @import { StickyScroll } from './scroll.js' */

export class AnswerTurn extends PageElement {
  /** @type {Frames} */
  #frames;
  /** @type {StickyScroll} */
  #scroll;
  /** @type {Model} */
  #model;
  /** @type {Generation | null} */
  #generation = null;
  #isBusy = true;
  #unwritten = '';
  /** @type {WireError | null} */
  #unwrittenError = null;
  #meter = new Meter(performance.now());

  #answer = h('div', { class: 'answer' });
  #text = new MarkdownWriter(this.#answer);
  #progress = h('progress', { max: 1 });
  #waitingText = h('span', {});
  #waiting = h('div', { class: 'waiting' }, this.#waitingText, this.#progress);
  #footnote = h('p', { class: 'footnote', hidden: true });

  #job = {
    write: () => this.#write(),
    settle: () => this.#scroll.settle(),
  };

  /** @param {{prompt: string, model: Model, frames: Frames, scroll: StickyScroll}} options */
  constructor({ prompt, model, frames, scroll }) {
    super();
    this.prompt = prompt;
    this.#model = model;
    this.#frames = frames;
    this.#scroll = scroll;
  }

  get generation() {
    return this.#generation;
  }

  get isBusy() {
    return this.#isBusy;
  }

  /** The whole text received, written or not. */
  get answer() {
    return this.#generation?.text ?? '';
  }

  get figures() {
    return this.#meter.figures(this.#generation);
  }

  /** How long it has been waiting for its first token, while it does. @returns {number | null} */
  get waitedMs() {
    if (!this.#isBusy || this.#generation?.seq) return null;
    return this.#meter.elapsedMs(performance.now());
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(
      h('p', { class: 'prompt', dir: 'auto' }, this.prompt),
      this.#waiting,
      this.#answer,
      this.#footnote,
    );
    this.#frames.schedule(this.#job);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#answer.addEventListener('click', ({ target }) => copyCode(target), { signal });
  }

  // Actions

  /** Show this generation from its first delta to its end. @param {Generation} generation */
  follow(generation) {
    this.#generation = generation;
    this.#take(generation.text);
    generation.on('delta', ({ text }) => this.#take(text));
    generation.on('state', () => this.#changed());
    generation.on('end', () => this.#end());
    if (generation.isLive) this.#changed();
    else this.#end();
  }

  /** Show that nothing could be sent. @param {WireError} error */
  fail(error) {
    this.#isBusy = false;
    this.#unwrittenError = error;
    this.#changed();
  }

  /** Follow how the model gets on, which matters while waiting for it. @param {Model} model */
  set model(model) {
    this.#model = model;
    if (this.waitedMs !== null) this.#frames.schedule(this.#job);
  }

  // Internal

  /** @param {string} text */
  #take(text) {
    if (!text) return;
    const isFirst = this.#text.isEmpty && this.#unwritten === '';
    this.#unwritten += text;
    this.#meter.count(this.#generation?.seq ?? 0, performance.now());
    if (isFirst) this.#changed();
    else this.#frames.schedule(this.#job);
  }

  #end() {
    this.#isBusy = false;
    this.#unwrittenError = this.#generation?.error ?? null;
    this.#changed();
  }

  #changed() {
    this.#frames.schedule(this.#job);
    this.announce('turn-change');
  }

  #write() {
    if (this.#unwritten) {
      this.#text.append(this.#unwritten);
      this.#unwritten = '';
    }
    if (!this.#isBusy) this.#text.end();
    if (this.#unwrittenError) {
      this.#footnote.before(notice(this.#unwrittenError, { isAlert: true }));
      this.#unwrittenError = null;
    }
    const isWaiting = this.#isBusy && this.#text.isEmpty;
    this.#answer.classList.toggle('is-growing', this.#isBusy && !isWaiting);
    this.#waiting.hidden = !isWaiting;
    if (isWaiting) this.#writeWaiting();
    if (this.#isBusy || !this.#generation) return;
    this.#footnote.hidden = false;
    this.#footnote.replaceChildren(
      ending(this.#generation),
      h('span', { class: 'earlier' }, ` · ${figuresLine(this.figures)}`),
    );
  }

  #writeWaiting() {
    setText(this.#waitingText, waitingFor(this.#generation, this.#model));
    const progress = this.#generation?.state === 'starting' ? this.#model.progress : null;
    this.#progress.hidden = progress === null;
    if (progress?.fraction == null) this.#progress.removeAttribute('value');
    else this.#progress.value = progress.fraction;
  }
}

customElements.define('answer-turn', AnswerTurn);
