/**
 * `<chat-board>`: the columns, or the welcome while nothing was asked.
 *
 * A column that is no longer shown leaves the page, and comes back as it was; the others are not
 * touched. Once in a while all columns show their figures, together, so that they can be compared.
 */

import { AnswerColumn } from './answer-column.js';
import { Announcer } from './announcer.js';
import { ChatWelcome } from './chat-welcome.js';
import { PageElement, arrange, h } from './element.js';
import { VoteBar } from './vote-bar.js';

/** @import { Parts } from './answer-column.js' */

const FIGURES_EVERY_MS = 250; // faster than this, changing digits cannot be read

export class ChatBoard extends PageElement {
  /** @type {Parts | null} */
  #parts = null;
  /** Also those that are not shown now. @type {Map<string, AnswerColumn>} */
  #columns = new Map();
  #wasBusy = false;
  #welcome = new ChatWelcome();
  #votes = new VoteBar();
  #grid = h('div', { class: 'columns', hidden: true });
  #announcer = new Announcer();

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#welcome, this.#grid, this.#votes, this.#announcer.element);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    const timer = setInterval(() => this.#tick(), FIGURES_EVERY_MS);
    signal.addEventListener('abort', () => clearInterval(timer));
  }

  // Actions

  /** @param {Parts} parts */
  use(parts) {
    this.#parts = parts;
    const { workspace } = parts;
    this.#votes.workspace = workspace;
    workspace.on('conversation', () => {
      this.#columns.clear();
      this.#grid.replaceChildren();
      this.#follow();
    });
    workspace.columns.on('change', () => this.#show());
    workspace.director.on('change', () => this.#changed());
    this.#follow();
  }

  /** Take in a model's new state. @param {string} id */
  update(id) {
    for (const element of this.#shown) if (element.column.model === id) element.refresh();
    if (!this.#welcome.hidden) this.#nameModels();
  }

  /** Show the column with this number, from 0. @param {number} index */
  go(index) {
    const element = this.#shown[index];
    element?.scrollIntoView({ inline: 'start', block: 'nearest' });
    /** @type {HTMLElement | null | undefined} */ (element?.querySelector('.log'))?.focus({ preventScroll: true });
  }

  // Internal

  get #shown() {
    return /** @type {AnswerColumn[]} */ ([...this.#grid.children]);
  }

  #follow() {
    if (!this.#parts) return;
    const { conversation } = this.#parts.workspace;
    conversation.on('path', () => this.#changed());
    conversation.on('turn', () => this.#changed());
    this.#show();
  }

  /** Show the columns in their order; only those are touched that come, go or move. */
  #show() {
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
    this.#changed();
  }

  #changed() {
    if (!this.#parts) return;
    const { workspace } = this.#parts;
    this.#welcome.hidden = !workspace.conversation.isEmpty;
    this.#grid.hidden = workspace.conversation.isEmpty;
    this.#nameModels();
    if (this.dataset.secret !== String(workspace.isSecret)) {
      this.dataset.secret = String(workspace.isSecret);
      for (const element of this.#shown) element.refresh();
    }
    this.#votes.refresh();
    this.#announcer.follow(this.#shown.flatMap(({ answer, column }) => (answer ? [{ answer, name: workspace.label(column) }] : [])),
      this.#shown.findIndex((element) => element.contains(document.activeElement)));
    this.#tick(true);
  }

  #nameModels() {
    if (!this.#parts) return;
    const { workspace } = this.#parts;
    this.#welcome.models = workspace.columns.shown.map((column) => workspace.label(column));
  }

  #tick(isForced = false) {
    const isBusy = this.#parts?.workspace.director.isBusy ?? false;
    if (!isBusy && !this.#wasBusy && !isForced) return;
    this.#wasBusy = isBusy;
    const most = Math.max(...this.#shown.map(({ answer }) => answer?.figures.tokens ?? 0));
    for (const element of this.#shown) element.tick(most);
  }
}

customElements.define('chat-board', ChatBoard);
