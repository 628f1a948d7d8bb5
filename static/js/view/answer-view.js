/**
 * `<answer-view>`: one answer as it grows.
 *
 * Text goes straight from the answer into the page, collected for the next frame, without a diff.
 * Everything else (why it waits, how it ended, an error) changes rarely and is rendered anew.
 * `MarkdownWriter` turns text into nodes; a text that begins like JSON goes to it as code.
 *
 * Events: `answer-change` when anything but the text has changed; `answer-lenient` to ask again
 * without the parameters that the server refuses; `answer-structure` with `{elements}` when
 * there is JSON to be shown indented.
 */

import { copyCode } from './clipboard.js';
import { PageElement, h, setText } from './element.js';
import { MarkdownWriter } from './markdown-writer.js';
import { errorNotice, withCode } from './error-notice.js';
import { beginsAsStructure, isStructure } from '../model/structured.js';
import { describe, offered } from '../model/parameters.js';
import { ThinkingView } from './thinking-view.js';
import { ToolCalls } from './tool-calls.js';
import { remarks, waitFraction, waitText, waitingFor } from './answer-labels.js';
import { costLabel, ending, figures } from './labels.js';

/** @import { Model, Token } from '../client/protocol.js' */
/** @import { Answer } from '../model/answer.js' */
/** @import { Frames } from './frames.js' */

/**
 * @typedef {{frames: Frames, isSecret: () => boolean, isOwn: (model: string) => boolean, isUnseen: (answer: Answer) => boolean,
 *   model: (id: string) => Model | undefined, tokenView: (tokens: Token[]) => Promise<HTMLElement | null>}} AnswerContext
 *   `isOwn`: whether it is the column's model now; `isUnseen`: whether its end is below what is in sight; `tokenView`: null if it cannot be loaded.
 */

export class AnswerView extends PageElement {
  #context;
  #answeredBefore;
  #unwritten = '';
  #written = 0;
  #isEnded = false;
  /** @type {string | null} The error shown. */
  #shownError = null;

  /** @type {ThinkingView | null} */
  #thinking = null;
  #answer = h('div', { class: 'answer' });
  /** Shown instead of the text: its tokens, or its source. @type {HTMLElement | null} */
  #instead = null;
  /** @type {'text' | 'tokens' | 'source'} */
  #shown = 'text';
  #text = new MarkdownWriter(this.#answer);
  /** Whether the text is taken for JSON; null while that cannot be said. @type {boolean | null} */
  #isStructure = null;
  #calls = new ToolCalls();
  #progress = h('progress', { max: 1, 'aria-label': 'Progress' });
  #waitingText = h('span', {});
  #waiting = h('div', { class: 'waiting' }, this.#waitingText, this.#progress);
  #problem = h('div', {});
  #remarks = h('ul', { class: 'remarks', hidden: true });
  #footnote = h('p', { class: 'footnote', hidden: true });

  #job = { write: () => this.#write() };

  /** @param {Answer} answer @param {AnswerContext} context @param {() => string} answeredBefore Who answered the turn before. */
  constructor(answer, context, answeredBefore) {
    super();
    this.answer = answer;
    this.#context = context;
    this.#answeredBefore = answeredBefore;
  }

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#waiting, this.#answer, this.#calls.element, this.#problem, this.#remarks, this.#footnote);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#unwritten = this.answer.text.slice(this.#written);
    this.addEventListener('click', ({ target }) => copyCode(target), { signal });
    this.answer.on('text', (text) => this.#take(text), { signal });
    this.answer.on('reasoning', () => this.#thinking?.isOpen && this.refresh(), { signal });
    this.answer.on('calls', () => this.refresh(), { signal });
    this.answer.on('change', () => this.#changed(), { signal });
    this.answer.on('tokens', ({ hasTokens }) => {
      this.showsTokens = hasTokens;
      this.announce('answer-change');
    }, { signal });
    this.#write();
    this.#context.frames.schedule(this.#job);
  }

  // Actions

  /** Whether tokens are shown instead of the text. */
  get showsTokens() {
    return this.#shown === 'tokens';
  }

  set showsTokens(shows) {
    if (shows) void this.#showTokens();
    else this.#show('text');
  }

  /** Whether the text is shown as the model wrote it. */
  get showsSource() {
    return this.#shown === 'source';
  }

  set showsSource(shows) {
    if (shows) this.#show('source', h('div', { class: 'source', dir: 'auto' }, this.answer.text));
    else this.#show('text');
  }

  /** Show the figures of now. */
  tick() {
    this.#thinking?.tick();
  }

  /** Render again: the model's state or the hiding of names has changed. */
  refresh() {
    this.#context.frames.schedule(this.#job);
  }

  // Internal

  async #showTokens() {
    this.#show('tokens');
    const view = await this.#context.tokenView(this.answer.tokens);
    if (!this.showsTokens) return;
    if (view) {
      this.#show('tokens', view);
      return this.#begin(view);
    }
    this.#show('text');
    this.announce('answer-change');
  }

  /** Bring the head into sight: the button is at the end. @param {HTMLElement} view */
  #begin(view) {
    const log = this.closest('.log');
    const top = log?.scrollTop;
    view.firstElementChild?.scrollIntoView({ block: 'nearest' });
    if (log?.scrollTop !== top) this.announce('fold'); // it stays there
  }

  /** @param {'text' | 'tokens' | 'source'} what @param {HTMLElement | null} [instead] Null: the text, for now. */
  #show(what, instead = null) {
    this.#shown = what;
    this.#instead?.remove();
    this.#instead = instead;
    this.#answer.hidden = instead !== null;
    if (instead) this.#answer.after(instead);
  }

  /** @param {string} text */
  #take(text) {
    this.#unwritten += text;
    const { frames, isUnseen } = this.#context;
    if (isUnseen(this.answer)) frames.scheduleUnseen(this.#job);
    else frames.schedule(this.#job);
  }

  #changed() {
    if (this.answer.isLive && this.#isEnded) this.#startAgain();
    if (this.answer.isLive && this.#shown !== 'text') this.#show('text');
    this.#context.frames.schedule(this.#job);
    this.announce('answer-change');
  }

  #write() {
    const { isLive, toolCalls } = this.answer;
    this.#writeThinking();
    if (this.#unwritten) this.#writeText();
    this.#calls.show(toolCalls);
    if (!isLive && !this.#isEnded) this.#end();
    const isWaiting = isLive && this.#text.isEmpty && !this.#thinking && toolCalls.length === 0;
    this.#answer.classList.toggle('is-growing', isLive && !this.#text.isEmpty);
    this.#answer.classList.toggle('is-empty', this.#text.isEmpty);
    this.#waiting.hidden = !isWaiting;
    if (isWaiting) this.#writeWaiting();
    this.#footnote.hidden = isLive;
    this.#writeError();
    this.#writeRemarks();
    if (!isLive) this.#writeFootnote();
  }

  #writeThinking() {
    if (!this.#thinking && this.answer.thinking) {
      const { isSecret, model } = this.#context;
      const isOurs = () => isSecret() || model(this.answer.model)?.server === null; // one token per delta
      this.#thinking = new ThinkingView(this.answer, isOurs);
      this.#thinking.tick();
      this.prepend(this.#thinking.element);
    }
    this.#thinking?.write();
  }

  #writeText() {
    const { isLive, text } = this.answer;
    if (this.#isStructure === null) {
      this.#isStructure = beginsAsStructure(text);
      if (this.#isStructure === null && isLive) return; // a sign or two are held back
      if (this.#isStructure) this.#text.append('```json\n');
    }
    this.#text.append(this.#unwritten);
    this.#written += this.#unwritten.length;
    this.#unwritten = '';
  }

  #end() {
    const { finishReason, text, toolCalls } = this.answer;
    if (this.#isStructure && finishReason === 'stop' && !isStructure(text)) {
      this.#startAgain();
      this.#isStructure = false;
      this.#writeText();
    }
    this.#isEnded = true;
    this.#text.end();
    this.#thinking?.tick();
    const hasStructure = toolCalls.length > 0 || this.#answer.querySelector('[data-language="json" i]');
    if (!hasStructure) return;
    // Nobody listens yet to an answer that is restored while the page loads.
    queueMicrotask(() => this.announce('answer-structure', { elements: [this.#answer, this.#calls.element] }));
  }

  /** A Markdown writer that has ended takes no more text: write everything anew. */
  #startAgain() {
    this.#isEnded = false;
    this.#isStructure = null;
    this.#answer.replaceChildren();
    this.#text = new MarkdownWriter(this.#answer);
    this.#written = 0;
    this.#unwritten = this.answer.text;
  }

  #writeWaiting() {
    const { notice: told, state, waitedMs } = this.answer;
    const isSecret = this.#context.isSecret();
    const model = isSecret ? undefined : this.#context.model(this.answer.model);
    setText(this.#waitingText, isSecret ? 'Waiting' : told ? waitText(told, waitedMs) : waitingFor(this.answer, model));
    const progress = ['starting', 'waiting'].includes(state) && !told ? model?.progress : null;
    const fraction = told ? waitFraction(told) : progress?.fraction ?? null;
    this.#progress.hidden = !progress && fraction === null && told?.code !== 'server_loads';
    if (fraction === null) this.#progress.removeAttribute('value');
    else this.#progress.value = fraction;
  }

  #writeError() {
    const { error } = this.answer;
    // In a blind round the cause would tell models apart.
    const isSecret = this.#context.isSecret();
    const isBlind = error?.code === 'cannot_see';
    const canBeLeftOut = !this.answer.isLenient && (isBlind || (error?.code === 'invalid_parameters'
      && !!(/** @type {any} */ (error.details)?.parameter || this.#context.model(this.answer.model)?.server)));
    const shown = canBeLeftOut ? { ...error, hint: null } : error; // the button replaces the hint
    const words = shown && `${isSecret} ${shown.code} ${shown.message}`;
    if (words === this.#shownError) return;
    this.#shownError = words;
    const untold = h('p', { class: 'notice', role: 'alert' }, 'This answer failed. The cause is shown with the names. ');
    this.#problem.replaceChildren(...(shown ? [isSecret ? untold : errorNotice(shown, { isAlert: true })] : []));
    if (!canBeLeftOut) return;
    const ask = h('button', { type: 'button', class: 'quiet ask-without' }, isSecret ? 'Ask again' : isBlind ? 'Ask without pictures' : 'Ask without it');
    ask.addEventListener('click', () => this.announce('answer-lenient'));
    this.#problem.firstElementChild?.append(ask);
  }

  #writeRemarks() {
    const { isLive, notices } = this.answer;
    const shown = isLive || this.#context.isSecret() ? [] : remarks(notices); // they may name the model
    this.#remarks.hidden = shown.length === 0;
    const words = shown.map(({ text }) => text).join('\n');
    if (this.#remarks.dataset.words === words) return;
    this.#remarks.dataset.words = words;
    this.#remarks.replaceChildren(...shown.map(({ text, isGrave }) => h('li', { class: isGrave && 'is-grave' }, ...withCode(text))));
  }

  #writeFootnote() {
    const { answeredBy, cost, details, metrics, finishReason, model, parameters, toolCalls } = this.answer;
    const { isOwn, isSecret, model: find } = this.#context;
    const before = this.#answeredBefore();
    const isOther = answeredBy && before && before !== answeredBy;
    const isCostUnknown = !cost && finishReason && !this.answer.isCached && find(model)?.capabilities?.cost;
    const told = isSecret() ? [] : [
      // With calls of tools, which are seen, a server's own word for the end tells no more.
      toolCalls.length === 0 && details.finish_reason && details.finish_reason !== finishReason ? `the server calls it “${details.finish_reason}”` : '',
      finishReason === 'cancelled' && find(model)?.capabilities?.cancel === false ? 'the server computes on' : '',
      isOwn(model) ? '' : `by ${find(model)?.name ?? model}`,
      answeredBy && !isOther ? `answered by ${answeredBy}` : '',
      describe(offered(parameters)),
    ];
    // The style sheet writes what is between two, except where a line ends.
    const line = (/** @type {string} */ name, /** @type {string[]} */ ...parts) =>
      parts.filter(Boolean).map((part) => h('span', { class: name }, part));
    this.#footnote.replaceChildren(
      ...line('ending', ending(this.answer)),
      ...line('earlier', ...figures({ ...metrics, isEstimated: metrics.isEstimated && find(model)?.server !== null })),
      ...line('cost', isSecret() ? '' : cost ? costLabel(cost) : isCostUnknown ? 'cost –' : ''),
      ...line('is-changed', isOther && !isSecret() ? `answered by ${answeredBy}, before by ${before}` : ''),
      ...line('asked-with', ...told),
    );
  }
}

customElements.define('answer-view', AnswerView);
