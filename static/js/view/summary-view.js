/**
 * `<summary-view>`: a dialog with the figures of a whole chat, a row per column, to be copied as a table.
 *
 * The page loads this module on demand.
 */

import { asMarkdown, asTsv, headings, summarize } from '../model/chat-summary.js';
import { SidestreamError } from '../client/protocol.js';
import { describe } from '../model/parameters.js';
import { copyText } from './clipboard.js';
import { PageElement, h, iconButton, letClose, setText } from './element.js';
import { about, costLabel, duration, rate } from './labels.js';

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Workspace } from '../model/workspace.js' */
/** @import { ColumnSummary, Heading } from '../model/chat-summary.js' */
/** @import { Turn } from '../model/conversation.js' */

export class SummaryView extends PageElement {
  /** @type {ColumnSummary[]} */
  #rows = [];
  /** @type {string[][]} */
  #cells = [];
  #close = iconButton('close', 'Close');
  #table = h('table', {});
  #notes = h('p', { class: 'field-hint' });
  #markdown = h('button', { type: 'button', class: 'quiet' }, 'Copy as Markdown');
  #tsv = h('button', { type: 'button', class: 'quiet' }, 'Copy for a spreadsheet');
  #told = h('span', { class: 'field-hint', role: 'status' });
  #dialog = h('dialog', { class: 'sheet wide-sheet', 'aria-labelledby': 'summary-title' },
    h('header', {}, h('h2', { id: 'summary-title' }, 'Figures of this chat'), this.#close),
    h('div', { class: 'summary-table', tabindex: 0, role: 'region', 'aria-labelledby': 'summary-title' }, this.#table),
    this.#notes,
    h('div', { class: 'sheet-actions' }, this.#markdown, this.#tsv, this.#told));

  // Lifecycle

  /** @override */
  build() {
    this.append(this.#dialog);
  }

  /** @override @param {AbortSignal} signal */
  connected(signal) {
    letClose(this.#dialog, this.#close, signal);
    this.#dialog.addEventListener('close', () => this.remove(), { signal });
    this.#markdown.addEventListener('click', () => this.#copy(asMarkdown(this.#cells)), { signal });
    this.#tsv.addEventListener('click', () => this.#copy(asTsv(this.#rows)), { signal });
  }

  // Actions

  /** @param {Turn[]} path @param {{id: string, name: string}[]} columns */
  open(path, columns) {
    this.#rows = summarize(path, columns);
    const shown = headings(this.#rows);
    this.#cells = [
      ['Model', ...shown.map(({ name }) => name)],
      ...this.#rows.map((row) => [row.name, ...shown.map((heading) => cell(row, heading))]),
    ];
    const [head, ...rows] = this.#cells;
    this.#table.replaceChildren(
      h('thead', {}, h('tr', {}, ...head.map((text) => h('th', { scope: 'col' }, text)))),
      h('tbody', {}, ...rows.map(([name, ...texts]) => h('tr', {}, h('th', { scope: 'row' }, name), ...texts.map((text) => h('td', {}, text))))));
    setText(this.#notes, notes(this.#rows, path.length));
    this.#dialog.showModal();
  }

  // Internal

  /** @param {string} text */
  async #copy(text) {
    setText(this.#told, await copyText(text) ? 'Copied.' : 'The browser does not let this page copy.');
  }
}

/** Show the figures of a chat; null: the open one, which is not stored. Rejects with a SidestreamError. @param {{client: SidestreamClient, workspace: Workspace}} parts @param {string | null} id */
export async function openSummary({ client, workspace }, id) {
  const isOpen = id === workspace.conversation.id;
  const conversation = isOpen || id === null ? workspace.conversation : await workspace.store.load(id);
  const { path } = conversation;
  if (conversation.isSecret) throw new SidestreamError({ code: 'secret', message: 'The figures are shown after the vote.' });
  const columns = isOpen ? workspace.columns.shown : conversation.columns ?? [];
  const names = columns.map((column) => (isOpen ? workspace.label(column) : [client.nameOf(column.model), describe(column.parameters)].filter(Boolean).join(' · ')));
  const view = new SummaryView();
  document.body.append(view);
  view.open(path, columns.map((column, index) => ({ id: column.id, name: names[index] })));
}

/** @param {ColumnSummary} row @param {Heading} heading */
function cell(row, { kind, name, value }) {
  const found = value(row);
  if (found === null) return '–';
  if (kind === 'time') return duration(found);
  if (kind === 'cost') return costLabel({ amount: found, estimated: row.isCostEstimated });
  const isEstimated = row.isEstimated && name !== 'Answers';
  return about(kind === 'rate' ? rate(found) : found.toLocaleString('en'), isEstimated);
}

/** Say what the figures leave out. @param {ColumnSummary[]} rows @param {number} turns */
function notes(rows, turns) {
  const sum = (/** @type {'cached' | 'failed' | 'live'} */ key) => rows.reduce((all, row) => all + row[key], 0);
  const left = [[sum('failed'), 'failed'], [sum('cached'), 'from the cache'], [sum('live'), 'still being written']]
    .flatMap(([count, why]) => (count ? [`${count} ${why}`] : []));
  return [
    turns === 1 ? 'Of one turn.' : `Of the ${turns} turns of the branch that is shown.`,
    left.length > 0 ? `Not counted: ${left.join(', ')}.` : '',
    'First tokens are without the starts of servers and the queue.',
    rows.some(({ isEstimated, isCostEstimated, cost }) => isEstimated || (cost.total !== null && isCostEstimated)) ? '≈: not all was counted by the server.' : '',
  ].filter(Boolean).join(' ');
}

customElements.define('summary-view', SummaryView);
