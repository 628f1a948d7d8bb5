/**
 * `<answer-column>`: one column's answers, with the figures of the turn that it shows.
 *
 * The prompts are in the strip above all columns. Screen readers do not announce the text here;
 * `Announcer` does, by sentences.
 *
 * Events: `column-stop` with `{answers}` and `column-menu` with `{column}`, `column-alone` with
 * `{column}`, null for all of them; `column-move` with
 * `{id, by}` or `{id, target}`; `turn-read` with `{turn}` when the user has scrolled to another turn.
 */

import { ColumnTurns } from './column-turns.js';
import { PageElement, h, iconButton, setText } from './element.js';
import { FiguresView } from './figures-view.js';
import { icon } from './icons.js';
import { contextGauge } from '../model/context-gauge.js';
import { nameParts } from '../model/name-parts.js';
import { describe } from '../model/parameters.js';
import { PlainTurn, lateTurns } from './late-turns.js';
import { TurnScroll } from './turn-scroll.js';
import { activity, brief, modelState, turnLabel, waitLabel } from './labels.js';

/** @import { Model, Token } from '../client/protocol.js' */
/** @import { Answer } from '../model/answer.js' */
/** @import { Column } from '../model/columns.js' */
/** @import { Conversation, Turn } from '../model/conversation.js' */
/** @import { Workspace } from '../model/workspace.js' */
/** @import { Frames } from './frames.js' */

/** @typedef {{workspace: Workspace, frames: Frames, model: (id: string) => Model | undefined, tokenView: (tokens: Token[]) => Promise<HTMLElement | null>}} Parts */

export class AnswerColumn extends PageElement {
  #parts;
  #column;
  /** @type {Conversation} */
  #conversation;

  #grip = h('span', { class: 'grip', draggable: 'true', title: 'Drag to move this column', 'aria-hidden': 'true' });
  #name = h('h2', {});
  #state = h('span', { class: 'column-state' });
  #gauge = h('span', { class: 'gauge', role: 'meter', 'aria-label': 'Context', 'aria-valuemin': 0, hidden: true });
  #stop = h('button', { type: 'button', class: 'stop', hidden: true }, icon('stop'), h('span', {}, 'Stop'));
  /** In sight while no other column is. */
  #all = iconButton('close', 'Show all columns', { hidden: true });
  #menu = iconButton('more', 'More', { 'aria-haspopup': 'menu' });
  #own = h('span', { class: 'column-own', hidden: true });
  #figures = new FiguresView();
  #race = h('div', { class: 'race', 'aria-hidden': 'true' });
  #turns = new ColumnTurns((turn) => this.#make(turn));
  #log = h('div', { class: 'log', role: 'group', tabindex: 0 }, this.#turns.element);
  /** Names the turn, where it is not the one of the strip. */
  #apart = h('p', { class: 'turn-name apart', dir: 'auto', hidden: true });
  #newest = h('button', { type: 'button', class: 'newest', hidden: true }, icon('down'), 'Newest');
  #scroll = new TurnScroll(this.#log, this.#turns.element, () => this.#read());

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

  /** The turn that is shown. */
  get turn() {
    return this.#turns.at(this.#scroll.turn);
  }

  /** The answer that is shown. */
  get answer() {
    return this.turn?.answer(this.#column.id) ?? null;
  }

  /** The answer to the last prompt. */
  get latest() {
    return this.#conversation.path.at(-1)?.answer(this.#column.id) ?? null;
  }

  /** Whether the reader is in the middle of an answer. */
  get isBeingRead() {
    return !this.#scroll.isAtTop && !this.#scroll.follows;
  }

  /** Whether the turn is shown from its beginning. */
  get isAtTop() {
    return this.#scroll.isAtTop;
  }

  // Lifecycle

  /** @override */
  build() {
    this.setAttribute('role', 'region');
    this.append(
      h('header', {}, this.#grip, this.#name, this.#own, this.#state, this.#gauge, this.#stop, this.#all, this.#menu),
      this.#figures.element,
      this.#race,
      h('div', { class: 'column-body' }, this.#log, this.#apart, this.#newest),
    );
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    this.#stop.addEventListener('click', () => this.announce('column-stop', { answers: this.#live }), { signal });
    this.#newest.addEventListener('click', () => {
      this.toEnd();
      this.#read();
      this.#log.focus({ preventScroll: true }); // the button goes
    }, { signal });
    this.#all.addEventListener('click', () => this.announce('column-alone', { column: null }), { signal });
    this.#menu.addEventListener('click', () => this.announce('column-menu', { column: this.#column, button: this.#menu }), { signal });
    this.addEventListener('keydown', (event) => this.#pressed(event), { signal });
    this.#connectDragging(signal);
    this.#scroll.connect(signal);
    this.addEventListener('answer-change', () => this.#render(), { signal });
    lateTurns.on('change', () => lateTurns.value && this.#turns.renew(), { signal });
    this.#conversation.on('turn', (turn) => {
      this.#turns.view(turn)?.refresh();
      this.#render();
    }, { signal });
    this.#watchEnd(signal);
    this.showPath(this.#conversation.path);
  }

  /** Whether no other column is shown. @param {boolean} isAlone */
  set isAlone(isAlone) {
    this.classList.toggle('is-alone', isAlone);
    this.#all.hidden = !isAlone;
  }

  // Actions

  /** Render again: the hiding of names has changed. */
  refresh() {
    this.#refresh();
  }

  /** Show the new state of the column's model. */
  update() {
    for (const view of this.#turns.views) if (view.turn.answer(this.#column.id)?.isLive) view.refresh();
    this.#showFigures();
    this.#render();
  }

  /** Show these turns. @param {Turn[]} path */
  showPath(path) {
    this.#turns.show(path);
    const last = path.at(-1);
    if (last) this.#turns.reach(last);
    this.#endObserver?.disconnect();
    if (last) this.#endObserver?.observe(this.#turns.end(last));
    this.#render();
  }

  /** Show this turn from its beginning. @param {Turn} turn */
  toTurn(turn) {
    this.#scroll.toTurn(this.#turns.reach(turn));
    this.#render();
  }

  /** Go to the end and stay there. */
  toEnd() {
    this.#scroll.toEnd();
    this.#render();
  }

  /** Name the turn that is shown, if it is another than that of the strip. @param {Turn | null} turn The strip's. */
  compareWith(turn) {
    const { turn: own } = this;
    this.#apart.hidden = own === turn || !own;
    if (own && own !== turn) setText(this.#apart, turnLabel(own, this.#conversation.path.indexOf(own)));
  }

  /** Show the current figures, and the progress relative to the others. @param {number} mostTokens */
  tick(mostTokens) {
    const { answer } = this;
    this.#showFigures();
    for (const view of this.#turns.views) {
      const { notice = null, state = '' } = view.turn.answer(this.#column.id) ?? {};
      if (notice || state === 'queued' || view instanceof PlainTurn) view.refresh(); // its text counts
      if (view.turn.answer(this.#column.id)?.thinking?.isNow) view.tick();
    }
    this.#render();
    const share = answer?.isLive && mostTokens ? (answer.metrics.tokens ?? 0) / mostTokens : 0; // who has arrived races no more
    this.#race.style.setProperty('--share', String(share));
  }

  // Internal

  #showFigures() {
    const { answer } = this;
    // Our own servers send one token per delta; others may send several.
    const isOurs = !answer || this.#parts.workspace.isSecret || this.#parts.model(answer.model)?.server === null;
    this.#figures.show(answer, isOurs);
  }

  #showGauge() {
    const { id, model } = this.#column;
    const answers = this.#conversation.path.map((turn) => turn.answer(id));
    const gauge = this.#parts.workspace.isSecret ? null : contextGauge(answers, this.#parts.model(model)); // the size would tell the model
    this.#gauge.hidden = !gauge;
    if (!gauge) return;
    const { isNearlyFull, size, used } = gauge;
    setText(this.#gauge, `${brief(used)} of ${brief(size)}`);
    this.#gauge.title = `Context: ${used.toLocaleString('en')} of ${size.toLocaleString('en')} tokens`;
    this.#gauge.setAttribute('aria-valuenow', String(Math.min(used, size)));
    this.#gauge.setAttribute('aria-valuemax', String(size));
    this.#gauge.setAttribute('aria-valuetext', this.#gauge.title);
    this.#gauge.classList.toggle('is-nearly-full', isNearlyFull);
    this.#gauge.style.setProperty('--share', String(Math.min(1, used / size)));
  }

  /** @type {IntersectionObserver | null} */
  #endObserver = null;
  #isEndBelow = false;

  /** Live ones, of whatever turn is shown. */
  get #live() {
    return this.#conversation.path.flatMap((turn) => turn.answer(this.#column.id) ?? []).filter(({ isLive }) => isLive);
  }

  /** The user has come to another turn. */
  #read() {
    const { turn } = this;
    if (!turn) return;
    this.#turns.reach(turn);
    this.#render();
    this.announce('turn-read', { turn });
  }

  /** Offer the way to the newest text while that grows out of sight. @param {AbortSignal} signal */
  #watchEnd(signal) {
    const observer = new IntersectionObserver((entries) => {
      const { boundingClientRect: end, isIntersecting, rootBounds } = entries[entries.length - 1];
      this.#isEndBelow = !isIntersecting && end.top > (rootBounds?.top ?? 0);
      this.#showNewest();
    }, { root: this.#log });
    this.#endObserver = observer;
    signal.addEventListener('abort', () => observer.disconnect());
  }

  #showNewest() {
    this.#newest.hidden = !this.#isEndBelow || !this.latest?.isLive;
  }

  /** @param {Turn} turn */
  #make(turn) {
    const { frames, model, tokenView, workspace } = this.#parts;
    const context = { frames, model, tokenView, isSecret: () => workspace.isSecret, isOwn: (/** @type {string} */ id) => id === this.#column.model, isUnseen: (/** @type {Answer} */ answer) => this.#isEndBelow && answer === this.latest };
    return new (lateTurns.value?.AnswerTurn ?? PlainTurn)({ turn, column: this.#column.id, conversation: this.#conversation, context });
  }

  #refresh() {
    for (const view of this.#turns.views) view.refresh();
    this.#render();
  }

  #render() {
    const [live] = this.#live.slice(-1);
    const answer = live ?? this.latest;
    const { workspace } = this.#parts;
    const model = this.#parts.model(this.#column.model);
    const name = workspace.label(this.#column);
    const isBusy = !!live;
    this.#showName(name);
    this.setAttribute('aria-label', name);
    this.#log.setAttribute('aria-label', `Conversation with ${name}`);
    this.#menu.setAttribute('aria-label', `More: ${name}`);
    this.#stop.setAttribute('aria-label', `Stop: ${name}`);
    this.#stop.hidden = !isBusy;
    this.#showNewest();
    this.#showGauge();
    const { parameters, system } = this.#column;
    const own = workspace.isSecret ? '' : [describe(parameters), system === null ? '' : 'own system prompt'].filter(Boolean).join(' · ');
    this.#own.hidden = !own;
    setText(this.#own, own);
    this.#own.title = own;
    const isGone = !workspace.isSecret && workspace.isGone(this.#column);
    const shown = isGone ? 'failed' : workspace.isSecret || !model ? 'ready' : model.state;
    this.dataset.state = isBusy ? 'busy' : shown;
    this.#state.title = isGone ? `There is no model “${this.#column.model}” here. “Replace the model…” in the menu takes another.` : '';
    if (answer && isBusy) setText(this.#state, answer.notice ? waitLabel(answer.notice) : activity(answer));
    else if (isGone) setText(this.#state, 'Model not here');
    else setText(this.#state, shown === 'ready' || !model ? '' : modelState(model));
  }

  /** Show the name so that what tells it from the others is the last to be cut. @param {string} name */
  #showName(name) {
    const { workspace } = this.#parts;
    const parts = nameParts(name, workspace.columns.shown.map((column) => workspace.label(column)).filter((other) => other !== name));
    const shown = parts.join('|');
    if (this.#name.dataset.parts === shown) return;
    this.#name.dataset.parts = shown;
    this.#name.title = name;
    this.#name.replaceChildren(...parts.filter(Boolean).map((part) => h('span', {}, part)));
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (!event.altKey || !event.shiftKey || !['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
    event.preventDefault();
    const by = event.key === 'ArrowLeft' ? -1 : 1;
    const focused = document.activeElement;
    this.announce('column-move', { id: this.#column.id, by });
    if (focused instanceof HTMLElement) focused.focus(); // it moved with the column
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

customElements.define('answer-column', AnswerColumn);
