/**
 * `<answer-column>`: one model's own conversation, with the figures of its latest answer.
 *
 * The log is marked busy while an answer is written, so that it is read aloud when it is whole and
 * not token by token.
 *
 * Events: `column-change` when it begins or ceases to be busy; `column-fault` with `{message}`
 * when it could not be stopped.
 */

import { SidestreamError } from '../client/protocol.js';
import { AnswerTurn } from './answer-turn.js';
import { PageElement, h, setText } from './element.js';
import { duration, rate } from './figures.js';
import { messagesFor } from './history.js';
import { icon } from './icons.js';
import { StickyScroll } from './scroll.js';
import { activity, modelState } from './words.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Model } from '../client/protocol.js' */
/** @import { Frames } from './frames.js' */

const FIGURES_EVERY_MS = 250; // faster than this, changing digits cannot be read

export class AnswerColumn extends PageElement {
  /** @type {SidestreamClient} */
  #client;
  /** @type {Model} */
  #model;
  /** @type {Frames} */
  #frames;
  /** @type {AnswerTurn[]} */
  #turns = [];
  #isStopWanted = false;

  #name = h('h2', {});
  #state = h('span', { class: 'column-state' });
  #stop = h('button', { type: 'button', class: 'stop', hidden: true }, icon('stop'), h('span', {}, 'Stop'));
  #ttft = h('dd', {});
  #rate = h('dd', {});
  #tokens = h('dd', {});
  #log = h('div', { class: 'log', role: 'log', tabindex: 0 });
  #scroll = new StickyScroll(this.#log);

  /** @param {{client: SidestreamClient, model: Model, frames: Frames}} options */
  constructor({ client, model, frames }) {
    super();
    this.#client = client;
    this.#model = model;
    this.#frames = frames;
  }

  get isBusy() {
    return this.#latest?.isBusy ?? false;
  }

  get isEmpty() {
    return this.#turns.length === 0;
  }

  get model() {
    return this.#model;
  }

  set model(model) {
    this.#model = model;
    if (this.#latest) this.#latest.model = model;
    this.#render();
  }

  // Lifecycle

  /** @override */
  build() {
    this.setAttribute('role', 'region');
    const figure = (/** @type {string} */ name, /** @type {HTMLElement} */ value) =>
      h('div', {}, h('dt', {}, name), value);
    this.append(
      h('header', {}, this.#name, this.#state, this.#stop),
      h('dl', { class: 'figures' },
        figure('First token', this.#ttft), figure('Speed', this.#rate), figure('Tokens', this.#tokens)),
      this.#log,
    );
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#stop.addEventListener('click', () => this.stop(), { signal });
    this.#scroll.connect(signal);
    this.addEventListener('turn-change', () => this.#turnChanged(), { signal });
    const timer = setInterval(() => this.isBusy && this.#renderFigures(), FIGURES_EVERY_MS);
    signal.addEventListener('abort', () => clearInterval(timer));
    this.#render();
  }

  // Actions

  /** Ask this model, going on with its own conversation. @param {string} prompt */
  async ask(prompt) {
    const messages = messagesFor(this.#turns, prompt);
    const turn = new AnswerTurn({ prompt, model: this.#model, frames: this.#frames, scroll: this.#scroll });
    this.#turns.push(turn);
    this.#isStopWanted = false;
    this.#log.append(turn);
    this.#scroll.toEnd();
    this.#turnChanged();
    try {
      const targets = [{ model: this.#model.id }];
      const [generation] = await this.#client.generate({ targets, messages });
      turn.follow(generation);
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      turn.fail(error);
    }
    if (this.#isStopWanted) await this.stop();
  }

  /** Stop the answer that is being written, also when it has not even begun. */
  async stop() {
    this.#isStopWanted = true;
    const generation = this.#latest?.generation;
    if (!generation) return;
    try {
      await this.#client.cancel([generation]);
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      this.announce('column-fault', { message: error.message });
    }
  }

  // Internal

  get #latest() {
    return this.#turns.at(-1);
  }

  #turnChanged() {
    this.#render();
    this.announce('column-change');
  }

  #render() {
    setText(this.#name, this.#model.name);
    this.#name.title = this.#model.name;
    this.setAttribute('aria-label', this.#model.name);
    this.#log.setAttribute('aria-label', `Conversation with ${this.#model.name}`);
    this.#log.setAttribute('aria-busy', String(this.isBusy));
    const turn = this.#latest;
    this.dataset.state = this.isBusy ? 'busy' : this.#model.state;
    if (turn?.isBusy) setText(this.#state, activity(turn.generation));
    else setText(this.#state, this.#model.state === 'ready' ? '' : modelState(this.#model));
    this.#stop.hidden = !this.isBusy;
    this.#stop.setAttribute('aria-label', `Stop: ${this.#model.name}`);
    this.#renderFigures();
  }

  #renderFigures() {
    const turn = this.#latest;
    const { ttftMs, tokensPerSecond, tokens } = turn?.figures ?? {};
    const waitedMs = turn?.waitedMs ?? null;
    this.#ttft.classList.toggle('is-running', waitedMs !== null);
    setText(this.#ttft, orDash(waitedMs ?? ttftMs, duration));
    setText(this.#rate, orDash(tokensPerSecond, rate));
    setText(this.#tokens, orDash(tokens, (count) => count.toLocaleString('en')));
  }
}

/** @param {number | null | undefined} value @param {(value: number) => string} format */
function orDash(value, format) {
  return value == null ? '–' : format(value);
}

customElements.define('answer-column', AnswerColumn);
