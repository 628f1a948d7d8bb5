/** Tables: how one begins, and its rows, whose cells fill as they stream. */

import { TextLeaf } from './leaves.js';

/** @import { Sink } from './run.js' */

/** What every beginning of the line below a table's head looks like. */
export const RULE_SO_FAR = /^[|:\- \t]*$/;
const RULE = /^\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

/**
 * Return the columns' alignments, or null if the two lines do not begin a table.
 *
 * @param {string} head @param {string} rule
 */
export function columns(head, rule) {
  if (!RULE.test(rule) || !/[|:]/.test(rule)) return null;
  const cells = rule.replace(/^\||\|?[ \t]*$/g, '').split('|').map((cell) => cell.trim());
  if (cells.length !== count(head)) return null;
  return cells.map((cell) => (cell.startsWith(':') ? (cell.endsWith(':') ? 'center' : 'left') : cell.endsWith(':') ? 'right' : ''));
}

/** @param {string} head */
function count(head) {
  return head.trim().replace(/\\./g, '_').replace(/^\||\|$/g, '').split('|').length;
}

export class TableLeaf {
  kind = /** @type {const} */ ('table');
  #sink;
  #alignments;
  #tag = 'th';
  #isInRow = false;
  #isInBody = false;
  #isBegun = false; // whether anything of the row was read
  #isEscaped = false;
  #index = 0;
  /** @type {TextLeaf | null} */
  #cell = null;

  /** @param {Sink} sink @param {string} head @param {string[]} alignments */
  constructor(sink, head, alignments) {
    this.#sink = sink;
    this.#alignments = alignments;
    sink.open('table');
    sink.open('thead');
    this.text(head);
    this.lineEnd();
    sink.close();
    this.#tag = 'td';
  }

  /** @param {string} piece */
  text(piece) {
    if (!this.#isInRow) this.#beginRow();
    for (const [part] of piece.matchAll(/[|\\]|[^|\\]+/g)) {
      if (this.#isEscaped) {
        this.#isEscaped = false;
        if (part === '|') {
          this.#write('|');
          continue;
        }
        this.#write('\\');
        if (part === '\\') {
          this.#write('\\');
          continue;
        }
      }
      if (part === '\\') this.#isEscaped = true;
      else if (part === '|') this.#bar();
      else this.#write(part);
    }
  }

  lineEnd() {
    if (!this.#isInRow) return;
    if (this.#isEscaped) this.#write('\\');
    this.#isEscaped = false;
    this.#endCell();
    while (this.#index < this.#alignments.length) this.#bar();
    this.#sink.close();
    this.#isInRow = false;
  }

  end() {
    this.lineEnd();
    if (this.#isInBody) this.#sink.close();
    this.#sink.close();
  }

  // Internal

  #beginRow() {
    if (this.#tag === 'td' && !this.#isInBody) {
      this.#sink.open('tbody');
      this.#isInBody = true;
    }
    this.#sink.open('tr');
    this.#isInRow = true;
    this.#isBegun = false;
    this.#index = 0;
  }

  #bar() {
    if (!this.#cell && this.#isBegun) this.#beginCell();
    this.#isBegun = true;
    this.#endCell();
  }

  /** @param {string} text */
  #write(text) {
    if (!this.#cell && /^[ \t]*$/.test(text)) return;
    this.#isBegun = true;
    if (!this.#cell) this.#beginCell();
    this.#cell?.text(text);
  }

  #beginCell() {
    if (this.#index >= this.#alignments.length) return; // more than the head has
    const align = this.#alignments[this.#index];
    this.#sink.open(this.#tag, align ? { align } : {});
    this.#cell = new TextLeaf(this.#sink);
  }

  #endCell() {
    if (!this.#cell) return;
    this.#cell.end();
    this.#cell = null;
    this.#index += 1;
  }
}
