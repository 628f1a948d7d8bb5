/**
 * `<answer-column>`: one column's conversation, with the figures of its latest answer.
 *
 * What is written here is not read aloud; that is the matter of the announcer, by sentences.
 *
 * Events: `column-stop` and `column-menu` with `{column}`, `column-move` with `{id, by}` or
 * `{id, target}`.
 */

import { AnswerTurn } from './answer-turn.js';
import { PageElement, h, iconButton, setText } from './element.js';
import { duration, rate } from './figures.js';
import { icon } from './icons.js';
import { describe } from '../model/parameters.js';
import { StickyScroll } from './scroll.js';
import { waitWord } from './remarks.js';
import { about, activity, modelState } from './words.js';

/** @import { Model } from '../client/protocol.js' */
/** @import { Column } from '../model/columns.js' */
/** @import { Conversation } from '../model/conversation.js' */
/** @import { Workspace } from '../model/workspace.js' */
/** @import { Frames } from './frames.js' */

/** @typedef {{workspace: Workspace, frames: Frames, model: (id: string) => Model | undefined}} Parts */

export class AnswerColumn extends PageElement {
  #parts;
  #column;
  /** @type {Conversation} */
  #conversation;
  /** By the turn's id, also those of other branches. @type {Map<string, AnswerTurn>} */
  #turns = new Map();

  #grip = h('span', { class: 'grip', draggable: 'true', title: 'Drag to move this column', 'aria-hidden': 'true' });
  #name = h('h2', {});
  #state = h('span', { class: 'column-state' });
  #stop = h('button', { type: 'button', class: 'stop', hidden: true }, icon('stop'), h('span', {}, 'Stop'));
  #menu = iconButton('more', 'More', { 'aria-haspopup': 'menu' });
  #own = h('p', { class: 'column-own', hidden: true });
  #ttft = h('dd', {});
  #rate = h('dd', {});
  #tokens = h('dd', {});
  #time = h('dd', {});
  #race = h('div', { class: 'race', 'aria-hidden': 'true' });
  #log = h('div', { class: 'log', role: 'group', tabindex: 0 });
  #scroll = new StickyScroll(this.#log);

  /** @param {Column} column @param {Parts} parts */
  constructor(column, parts) {
    super();
    this.#column = column;
    this.#parts = parts;
    this.#conversation = parts.workspace.conversation;
  }

  get column() {
    return this.#column;
  }

  set column(column) {
    this.#column = column;
    if (this.isConnected) this.#refresh();
  }

  /** The latest answer on the path shown. */
  get answer() {
    return this.#conversation.path.at(-1)?.answer(this.#column.id) ?? null;
  }

  // Lifecycle

  /** @override */
  build() {
    this.setAttribute('role', 'region');
    const figure = (/** @type {string} */ name, /** @type {HTMLElement} */ value) =>
      h('div', {}, h('dt', {}, name), value);
    this.append(
      h('header', {}, this.#grip, this.#name, this.#state, this.#stop, this.#menu),
      this.#own,
      h('dl', { class: 'figures' },
        figure('First token', this.#ttft), figure('Speed', this.#rate), figure('Tokens', this.#tokens), figure('Time', this.#time)),
      this.#race,
      this.#log,
    );
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    const id = this.#column.id;
    this.#stop.addEventListener('click', () => this.announce('column-stop', { id }), { signal });
    this.#menu.addEventListener('click', () => this.announce('column-menu', { column: this.#column, button: this.#menu }), { signal });
    this.addEventListener('keydown', (event) => this.#pressed(event), { signal });
    this.#connectDragging(signal);
    this.#scroll.connect(signal);
    this.addEventListener('answer-change', () => this.#render(), { signal });
    this.#conversation.on('path', () => this.#showPath(), { signal });
    this.#conversation.on('turn', () => this.#refresh(), { signal });
    this.#showPath();
  }

  // Actions

  /** Take in that something around it changed: its model's state, whether names are hidden. */
  refresh() {
    this.#refresh();
  }

  /** Show the figures as they are now, and how far it is beside the others. @param {number} mostTokens */
  tick(mostTokens) {
    const { answer } = this;
    const { isEstimated: wasEstimated, ttftMs, tokensPerSecond, tokens, totalMs } = answer?.figures ?? {};
    // A piece of our own servers is a token; somebody else's may send several in one.
    const isOurs = !answer || this.#parts.workspace.isSecret || this.#parts.model(answer.model)?.server === null;
    const isEstimated = !isOurs && (wasEstimated || answer.isLive);
    const isBefore = answer?.isLive && ttftMs == null && answer.state !== 'waiting';
    this.#ttft.classList.toggle('is-running', !!isBefore);
    setText(this.#ttft, orDash(isBefore ? totalMs : ttftMs, duration));
    setText(this.#rate, orDash(tokensPerSecond, (speed) => about(rate(speed), isEstimated)));
    setText(this.#tokens, orDash(tokens, (count) => about(count.toLocaleString('en'), isEstimated)));
    setText(this.#time, orDash(answer?.state === 'waiting' ? null : totalMs, duration));
    const turn = this.#log.lastElementChild;
    if (answer?.notice && turn instanceof AnswerTurn) turn.refresh(); // it may count down
    this.#race.style.setProperty('--share', String(mostTokens ? (tokens ?? 0) / mostTokens : 0));
  }

  // Internal

  #showPath() {
    const { path } = this.#conversation;
    const turns = path.map((turn) => this.#turn(turn));
    const isLonger = turns.length > this.#log.childElementCount;
    if (turns.length !== this.#log.childElementCount || turns.some((turn, index) => turn !== this.#log.children[index])) {
      const kept = turns.findIndex((turn, index) => turn !== this.#log.children[index]);
      while (this.#log.childElementCount > (kept < 0 ? turns.length : kept)) this.#log.lastElementChild?.remove();
      this.#log.append(...turns.slice(this.#log.childElementCount));
    }
    if (isLonger) this.#scroll.toEnd();
    this.#render();
  }

  /** @param {import('../model/conversation.js').Turn} turn */
  #turn(turn) {
    let element = this.#turns.get(turn.id);
    if (!element) {
      const { frames, model, workspace } = this.#parts;
      const around = { frames, model, scroll: this.#scroll, isSecret: () => workspace.isSecret, isOwn: (/** @type {string} */ id) => id === this.#column.model };
      element = new AnswerTurn({ turn, column: this.#column.id, conversation: this.#conversation, around });
      this.#turns.set(turn.id, element);
    }
    return element;
  }

  #refresh() {
    for (const turn of this.#log.children) if (turn instanceof AnswerTurn) turn.refresh();
    this.#render();
  }

  #render() {
    const { answer } = this;
    const { workspace } = this.#parts;
    const model = this.#parts.model(this.#column.model);
    const name = workspace.label(this.#column);
    const isBusy = answer?.isLive ?? false;
    setText(this.#name, name);
    this.#name.title = name;
    this.setAttribute('aria-label', name);
    this.#log.setAttribute('aria-label', `Conversation with ${name}`);
    this.#menu.setAttribute('aria-label', `More: ${name}`);
    this.#stop.setAttribute('aria-label', `Stop: ${name}`);
    this.#stop.hidden = !isBusy;
    const { parameters, system } = this.#column;
    const own = workspace.isSecret ? '' : [describe(parameters), system === null ? '' : 'own system prompt'].filter(Boolean).join(' · ');
    this.#own.hidden = !own;
    setText(this.#own, own);
    const shown = workspace.isSecret || !model ? 'ready' : model.state;
    this.dataset.state = isBusy ? 'busy' : shown;
    if (answer && isBusy) setText(this.#state, answer.notice ? waitWord(answer.notice) : activity(answer));
    else setText(this.#state, shown === 'ready' || !model ? '' : modelState(model));
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (!event.altKey || !event.shiftKey || !['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
    event.preventDefault();
    const by = event.key === 'ArrowLeft' ? -1 : 1;
    const focused = document.activeElement;
    this.announce('column-move', { id: this.#column.id, by });
    if (focused instanceof HTMLElement) focused.focus(); // it went with the column
  }

  /** @param {AbortSignal} signal */
  #connectDragging(signal) {
    const kind = 'application/x-sidestream-column';
    this.#grip.addEventListener('dragstart', ({ dataTransfer }) => {
      dataTransfer?.setData(kind, this.#column.id);
      dataTransfer?.setDragImage(this, 20, 20);
    }, { signal });
    const isOver = (/** @type {DragEvent} */ event) => !!event.dataTransfer?.types.includes(kind);
    this.addEventListener('dragover', (event) => {
      if (!isOver(event)) return;
      event.preventDefault();
      this.classList.add('is-target');
    }, { signal });
    this.addEventListener('dragleave', () => this.classList.remove('is-target'), { signal });
    this.addEventListener('drop', (event) => {
      this.classList.remove('is-target');
      if (!isOver(event)) return;
      event.preventDefault();
      const id = event.dataTransfer?.getData(kind);
      if (id) this.announce('column-move', { id, target: this.#column.id });
    }, { signal });
  }
}

/** @param {number | null | undefined} value @param {(value: number) => string} format */
function orDash(value, format) {
  return value == null ? '–' : format(value);
}

customElements.define('answer-column', AnswerColumn);
