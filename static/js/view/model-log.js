/**
 * `<model-log>`: a model server's log as it is written, in a drawer at the lower edge.
 *
 * It follows the log while it is open. Screen readers do not announce new lines, but can read them.
 * The newest `MAX_LINES` lines are shown; the view sticks to the end until the user scrolls up.
 */

import { PageElement, h, iconButton, setText } from './element.js';
import { errorNotice } from './error-notice.js';
import { Endings, readable } from './log-line.js';
import { StickyScroll } from './scroll.js';

/** @import { LogLine, Model } from '../client/protocol.js' */
/** @import { LogReading } from '../client/logs.js' */

/** More than anybody reads, and little enough to be laid out at once. */
const MAX_LINES = 1000;

export class ModelLog extends PageElement {
  /** Begins to read a model's log. @type {((model: string, options: {tail: number}) => LogReading) | null} */
  read = null;
  /** @type {LogReading | null} */
  #reading = null;
  #endings = new Endings();
  #isRead = new AbortController();
  /** @type {Element | null} What had the focus before. */
  #opener = null;
  #title = h('h2', { id: 'model-log-title' });
  #close = iconButton('close', 'Close');
  #lines = h('div', { class: 'log-lines', role: 'log', 'aria-live': 'off', 'aria-labelledby': 'model-log-title', tabindex: 0 });
  #state = h('p', { class: 'log-state', role: 'status' });
  #problem = h('div', {});
  #scroll = new StickyScroll(this.#lines);

  get isOpen() {
    return !this.hidden;
  }

  // Lifecycle

  /** @override */
  build() {
    this.hidden = true;
    this.setAttribute('role', 'region');
    this.setAttribute('aria-labelledby', 'model-log-title');
    this.append(h('div', { class: 'log-head' }, this.#title, this.#state, this.#close), this.#lines, this.#problem);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#scroll.connect(signal);
    this.#close.addEventListener('click', () => this.close(), { signal });
    this.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation(); // it is not meant for the answers
      this.close();
    }, { signal });
    signal.addEventListener('abort', () => this.#leave());
  }

  // Actions

  /** Follow a model's log. @param {Pick<Model, 'id' | 'name'>} model */
  open({ id, name }) {
    this.#leave();
    if (!this.isOpen) this.#opener = document.activeElement;
    setText(this.#title, `Log: ${name}`);
    setText(this.#state, 'Nothing was written yet.');
    this.#lines.replaceChildren();
    this.#endings = new Endings();
    this.#problem.replaceChildren();
    this.hidden = false;
    this.#reading = this.read?.(id, { tail: 300 }) ?? null;
    const { signal } = (this.#isRead = new AbortController());
    this.#reading?.on('lines', (lines) => this.#add(lines), { signal });
    this.#reading?.on('end', ({ error }) => this.#ended(error), { signal });
    this.#lines.focus();
  }

  close() {
    this.#leave();
    this.hidden = true;
    if (this.#opener instanceof HTMLElement) this.#opener.focus();
  }

  // Internal

  #leave() {
    this.#isRead.abort();
    this.#reading?.close();
    this.#reading = null;
  }

  /** @param {LogLine[]} lines */
  #add(lines) {
    setText(this.#state, '');
    this.#lines.append(...lines.map((one) => line(one, this.#endings.take(one))).slice(-MAX_LINES));
    while (this.#lines.childElementCount > MAX_LINES) this.#lines.firstElementChild?.remove();
    this.#scroll.settle();
  }

  /** @param {import('../client/protocol.js').WireError | null} error */
  #ended(error) {
    setText(this.#state, 'This is the end of the log.');
    if (error) this.#problem.replaceChildren(errorNotice(error, { isAlert: true }));
  }
}

/** @param {LogLine} entry @param {boolean} isEnding */
function line({ time, stream, text }, isEnding) {
  const at = new Date(time * 1000);
  const { level, text: shown } = readable(text);
  return h('p', { class: `log-line is-${isEnding ? 'ending' : level ?? stream}` },
    h('time', { datetime: at.toISOString() }, at.toLocaleTimeString('en-GB')), ' ', h('span', {}, shown));
}

customElements.define('model-log', ModelLog);
