/**
 * `<chat-board>`: the prompt's strip and the columns, or the welcome of an empty chat.
 *
 * One turn is read at a time: its prompt is in the strip, and every column shows its answer from the
 * top. Where the user scrolls to another turn, the strip follows, and with linked columns all others
 * do. A new prompt is shown at once, unless it comes from the queue while somebody reads on.
 *
 * A hidden column leaves the page and comes back as it was; the others are not touched. All columns
 * update their metrics at the same time, so that they can be compared.
 */

import { AnswerColumn } from './answer-column.js';
import { Announcer } from './announcer.js';
import { ChatWelcome } from './chat-welcome.js';
import { PageElement, arrange, h } from './element.js';
import { lateTurns } from './late-turns.js';
import { tab, visits } from './storage.js';

/** @import { Turn } from '../model/conversation.js' */
/** @import { Parts } from './answer-column.js' */
/** @import { TurnStrip } from './turn-strip.js' */

const FIGURES_EVERY_MS = 250; // digits that change faster cannot be read

export class ChatBoard extends PageElement {
  /** @type {Parts | null} */
  #parts = null;
  /** Hidden ones included. @type {Map<string, AnswerColumn>} */
  #columns = new Map();
  #wasBusy = false;
  #ticking = { write: () => this.#tick() };
  /** Whether the columns were shuffled since a turn was shown. */
  #isShuffled = false;
  /** The turn in the strip. @type {Turn | null} */
  #turn = null;
  /** Its place in the path. */
  #index = 0;
  #length = 0;
  /** The column that was scrolled last. @type {AnswerColumn | null} */
  #read = null;
  #isLinked = visits.get('linked') !== false;
  /** @type {string | null} */
  #alone = null;
  #welcome = new ChatWelcome();
  /** Comes after the page. @type {TurnStrip | null} */
  #strip = null;
  #grid = h('div', { class: 'columns', hidden: true });
  #announcer = new Announcer();

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#welcome, this.#grid, this.#announcer.element);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    const timer = setInterval(() => {
      const isBusy = this.#parts?.workspace.scheduler.isBusy ?? false;
      // In the frame that writes text: one of its own costs as much.
      if (isBusy || this.#wasBusy) this.#parts?.frames.schedule(this.#ticking);
      this.#wasBusy = isBusy;
    }, FIGURES_EVERY_MS);
    signal.addEventListener('abort', () => clearInterval(timer));
    lateTurns.on('change', () => this.#addStrip(), { signal });
    const on = (/** @type {string} */ type, /** @type {(event: CustomEvent) => void} */ act) =>
      this.addEventListener(type, (event) => act(/** @type {CustomEvent} */ (event)), { signal });
    on('turn-read', ({ target, detail: { turn } }) => {
      this.#read = /** @type {AnswerColumn} */ (target);
      this.#show(turn, (column) => this.#isLinked && column !== target && column.turn !== turn);
    });
    on('turn-step', ({ detail: { by } }) => this.step(by));
    on('turn-branch', ({ detail: { by } }) => this.#branch(by));
    on('turn-link', ({ detail: { isLinked } }) => {
      this.#isLinked = isLinked;
      visits.set('linked', isLinked);
      this.#show(this.#turn, (column) => isLinked && column.turn !== this.#turn);
    });
  }

  // Actions

  /** @param {Parts} parts */
  use(parts) {
    this.#parts = parts;
    const { workspace } = parts;
    workspace.on('conversation', () => {
      this.#columns.clear();
      this.#grid.replaceChildren();
      this.#turn = null;
      this.#follow();
    });
    workspace.columns.on('change', () => this.#arrange());
    workspace.columns.on('arrange', () => { this.#isShuffled = true; });
    workspace.on('settings', () => this.#showStrip()); // a prompt may be edited
    workspace.scheduler.on('change', () => this.#changed());
    const { path } = workspace.conversation;
    this.#turn = path.find(({ id }) => id === tab.get('turn')) ?? null;
    this.#follow();
  }

  /** Show a model's new state. @param {string} id */
  update(id) {
    for (const element of this.#shown) if (element.column.model === id) element.update();
    if (!this.#welcome.hidden) this.#nameModels();
  }

  /** Show the column with this number, from 0. @param {number} index */
  go(index) {
    const element = this.#shown[index];
    element?.scrollIntoView({ inline: 'start', block: 'nearest' });
    /** @type {HTMLElement | null | undefined} */ (element?.querySelector('.log'))?.focus({ preventScroll: true });
  }

  /** Go to the beginning of a turn: of the one before, of this one if its beginning is out of sight, or of the one after; after the last one is its newest text. @param {number} by 1 or -1. */
  step(by) {
    const { path } = this.#parts?.workspace.conversation ?? { path: [] };
    const moved = this.#isLinked ? this.#shown : this.#shown.filter((column) => column === this.#lastRead);
    const isInside = by < 0 && moved.some((column) => !column.isAtTop);
    const turn = path[this.#index + (isInside ? 0 : by)];
    if (turn) this.#show(turn, (column) => moved.includes(column));
    else if (by > 0) for (const column of moved) column.toEnd();
    if (turn) this.#announcer.say(`Turn ${this.#index + 1} of ${path.length}: ${turn.prompt.slice(0, 200)}`);
  }

  /** Show this turn, in all columns. @param {Turn | null} turn */
  toTurn(turn) {
    this.#show(turn, () => true);
  }

  /** Show the last turn, in all columns. */
  toNewest() {
    this.toTurn(this.#parts?.workspace.conversation.path.at(-1) ?? null);
  }

  /** The column that is shown alone. */
  get alone() {
    const isThere = this.#shown.length > 1 && this.#shown.some(({ column }) => column.id === this.#alone);
    return isThere ? this.#alone : null;
  }

  set alone(id) {
    this.#alone = id;
    this.#showAlone();
  }

  // Internal

  #showAlone() {
    const { alone } = this;
    this.#grid.classList.toggle('is-alone', alone !== null);
    for (const element of this.#shown) element.isAlone = element.column.id === alone;
  }

  get #shown() {
    return /** @type {AnswerColumn[]} */ ([...this.#grid.children]);
  }

  get #lastRead() {
    return this.#read?.isConnected ? this.#read : this.#shown[0];
  }

  #follow() {
    if (!this.#parts) return;
    const { conversation } = this.#parts.workspace;
    conversation.on('path', () => this.#showPath());
    conversation.on('turn', () => this.#changed());
    this.#length = conversation.path.length;
    this.#arrange();
    this.#showPath();
  }

  /** Show the columns in their order; touch only those that come, go or move. */
  #arrange() {
    if (!this.#parts) return;
    const { columns } = this.#parts.workspace;
    const wanted = columns.shown.map((column) => {
      const element = this.#columns.get(column.id) ?? new AnswerColumn(column, /** @type {Parts} */ (this.#parts));
      this.#columns.set(column.id, element);
      return element;
    });
    arrange(this.#grid, wanted);
    wanted.forEach((element, index) => { element.column = columns.shown[index]; });
    this.#grid.dataset.count = String(wanted.length);
    this.#showAlone();
    this.#show(this.#turn, (column) => column.turn !== this.#turn && (this.#isLinked || !column.turn));
    this.#changed();
  }

  /** Other turns are shown: stay with the one that is read, or go to the new one. */
  #showPath() {
    if (!this.#parts) return;
    const { path } = this.#parts.workspace.conversation;
    for (const column of this.#shown) column.showPath(path);
    const isThere = this.#turn !== null && path.includes(this.#turn);
    const isLonger = path.length > this.#length;
    this.#length = path.length;
    // Another branch, or an edited prompt, is shown where the former one was.
    if (!isThere) this.#show(path[this.#turn ? Math.min(this.#index, path.length - 1) : path.length - 1] ?? null, () => true);
    else if (isLonger && !this.#shown.some((column) => column.isBeingRead)) this.toNewest();
    else this.#show(this.#turn, (column) => !column.turn);
    this.#changed();
  }

  /** Show this turn in the strip, and in the columns that are to be moved. @param {Turn | null} turn @param {(column: AnswerColumn) => boolean} isMoved */
  #show(turn, isMoved) {
    if (!this.#parts) return;
    this.#turn = turn;
    if (turn) {
      this.#index = this.#parts.workspace.conversation.path.indexOf(turn);
      tab.set('turn', turn.id);
    }
    const columns = this.#shown;
    for (const column of columns) if (turn && isMoved(column)) column.toTurn(turn);
    for (const column of columns) column.compareWith(turn);
    this.#showStrip();
    this.#tick();
  }

  #showStrip() {
    if (!this.#parts) return;
    const { conversation, isSecret, settings } = this.#parts.workspace;
    const turn = this.#turn;
    const siblings = turn ? conversation.siblings(turn) : [];
    this.#strip?.show(turn && {
      turn, index: this.#index, count: conversation.path.length, branch: siblings.indexOf(turn), branches: siblings.length,
      isLinked: this.#isLinked, canLink: this.#shown.length > 1,
      isOpenly: settings.isBlind && !isSecret,
    });
  }

  #addStrip() {
    if (this.#strip || !lateTurns.value) return;
    this.#strip = new lateTurns.value.TurnStrip();
    this.#grid.before(this.#strip);
    this.#showStrip();
  }

  /** @param {number} by */
  #branch(by) {
    const { conversation } = /** @type {Parts} */ (this.#parts).workspace;
    const siblings = this.#turn ? conversation.siblings(this.#turn) : [];
    const other = siblings[siblings.indexOf(/** @type {Turn} */ (this.#turn)) + by];
    if (other) conversation.show(other);
  }

  #changed() {
    if (!this.#parts) return;
    const { workspace } = this.#parts;
    const isBegun = workspace.conversation.path.length > 0;
    this.#welcome.hidden = isBegun;
    this.#grid.hidden = !isBegun;
    if (this.#isShuffled && isBegun) this.#toFirst();
    this.#nameModels();
    if (this.dataset.secret !== String(workspace.isSecret)) {
      this.dataset.secret = String(workspace.isSecret);
      for (const element of this.#shown) element.refresh();
      this.#showStrip();
    }
    this.#announcer.follow(this.#shown.flatMap(({ latest, column }) => (latest ? [{ answer: latest, name: workspace.label(column), isSecret: workspace.isSecret }] : [])),
      this.#shown.findIndex((element) => element.contains(document.activeElement)));
    this.#tick();
  }

  /** A round is looked at from its first column: what was in sight, or alone, would tell whose place it has now. */
  #toFirst() {
    this.#isShuffled = false;
    this.alone = null;
    this.#grid.scrollTo(0, 0);
  }

  #nameModels() {
    if (!this.#parts) return;
    const { workspace } = this.#parts;
    this.#welcome.models = workspace.columns.shown.map((column) => workspace.label(column));
  }

  #tick() {
    const most = Math.max(...this.#shown.map(({ answer }) => answer?.metrics.tokens ?? 0));
    for (const element of this.#shown) element.tick(most);
  }
}

customElements.define('chat-board', ChatBoard);
