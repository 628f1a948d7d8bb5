/** The leaves, which hold text: paragraphs, headings, code, tables. Lines may come in any pieces. */

import { InlineRun } from './run.js';

/** @import { Sink } from './run.js' */

/**
 * @typedef {object} Leaf
 * @property {'text' | 'heading' | 'fence' | 'indented' | 'table'} kind
 * @property {(piece: string) => void} text More of the line.
 * @property {() => void} lineEnd
 * @property {() => void} end
 */

const SPACE = /[ \t]/;
/** Behind words, at the end of what is there: perhaps the beginning of a fence. */
const FENCE_SO_FAR = /(?<=[^`\\])(?:`{1,2}|`{3,16}[\w+#.-]{0,30}[ \t]{0,9})$/;
const FENCE = /^(`{3,})([\w+#.-]+)/;
/** As long as a line can be whose beginning is not known. */
const MAX_ROW = 1000;
const SPACE_OR_SIGN = /[ \t#]/;

/** A paragraph, a heading or a cell: spaces around its lines are left out, signs that end a heading too. */
export class TextLeaf {
  #sink;
  #run;
  #holds;
  #held;
  #fence = '';
  #last = ''; // the character before that
  #mayBeginFence;
  #isEmpty = true;
  /** Its only line, which may be a table's head; '' if there are more or it is too long. */
  row = '';
  #isInRow = true;

  /** @param {Sink} sink @param {'text' | 'heading'} kind */
  constructor(sink, kind = 'text') {
    this.kind = kind;
    this.#sink = sink;
    this.#run = new InlineRun(sink);
    this.#holds = kind === 'heading' ? SPACE_OR_SIGN : SPACE;
    this.#held = kind === 'heading' ? ' ' : '';
    this.#mayBeginFence = kind === 'text';
  }

  get isMath() {
    return this.#run.isMath;
  }

  /** @param {string} piece */
  text(piece) {
    if (this.#isInRow) this.row += piece;
    if (this.row.length > MAX_ROW) this.#endRow();
    if (!this.#mayBeginFence) return this.#text(piece);
    const all = this.#last + this.#fence + piece;
    const at = FENCE_SO_FAR.exec(all)?.index ?? all.length;
    this.#mayBeginFence = !all.slice(0, at).includes('```'); // else it may be an end
    const until = this.#mayBeginFence ? at : all.length;
    this.#text(all.slice(this.#last.length, until));
    this.#fence = all.slice(until);
    this.#last = all.slice(Math.max(0, until - 1), until);
  }

  /** Return the fence that has begun behind the words of this line, or null; the line is at its end. */
  takeFence() {
    const held = this.#fence;
    const fence = FENCE.exec(held);
    [this.#fence, this.#last] = ['', ''];
    if (fence) return { sign: fence[1], language: fence[2] };
    this.#mayBeginFence &&= !held.includes('```');
    this.#text(held);
    return null;
  }

  /** @param {string} piece */
  #text(piece) {
    let end = piece.length;
    while (end > 0 && this.#holds.test(piece[end - 1])) end -= 1;
    if (end > 0) {
      while (end < piece.length && piece[end] === '#') end += 1; // not after a space
      this.#put(this.#held + piece.slice(0, end));
      this.#held = piece.slice(end);
    } else if (this.#held || SPACE.test(piece[0] ?? '#')) {
      this.#held += piece;
    } else {
      let signs = 0;
      while (piece[signs] === '#') signs += 1;
      this.#put(piece.slice(0, signs));
      this.#held = piece.slice(signs);
    }
  }

  /** Go on with another line. */
  continue() {
    this.#endRow();
    const held = this.#held;
    this.#held = `${held.endsWith('  ') ? '  ' : held && ' '}\n`;
  }

  lineEnd() {}

  end() {
    this.takeFence();
    if (this.kind === 'heading') {
      const content = this.#held.trimEnd();
      let end = content.length;
      while (content[end - 1] === '#') end -= 1;
      if (!SPACE.test(content[end - 1])) end = content.length;
      const rest = content.slice(0, end).trimEnd();
      if (rest) this.#put(rest);
    }
    this.#run.end();
    this.#sink.close();
  }

  #endRow() {
    this.row = '';
    this.#isInRow = false;
  }

  /** @param {string} text */
  #put(text) {
    this.#run.append(this.#isEmpty ? text.replace(/^[ \t]+/, '') : text);
    this.#isEmpty = false;
  }
}

const MARKDOWN = /^(?:markdown|md|mdx|qmd|rmd)$/i;

/**
 * Code, fenced or indented: nothing in it means anything, but for the ends of fences that stand in a
 * fence of Markdown (`inner`, their signs).
 */
export class CodeLeaf {
  #sink;
  #isInLine = false;
  #blanks = '';
  /** @type {string[]} */
  inner = [];

  /**
   * @param {Sink} sink @param {'fence' | 'indented'} kind
   * @param {{sign?: string, indent?: number, language?: string, isInText?: boolean}} [fence] `isInText`: it has
   *   begun behind words, and may end behind some.
   */
  constructor(sink, kind, { sign = '', indent = 0, language = '', isInText = false } = {}) {
    this.kind = kind;
    this.sign = sign;
    this.indent = indent;
    this.isInText = isInText;
    this.isMarkdown = MARKDOWN.test(language);
    this.#sink = sink;
    sink.open('pre', language ? { language } : {});
  }

  /** Note an empty line of indented code, which is part of it only if more comes. @param {string} text */
  blank(text) {
    this.#blanks += `${text}\n`;
  }

  /** @param {string} piece */
  text(piece) {
    const blanks = this.#blanks.split('\n');
    this.#blanks = '';
    for (const blank of blanks.slice(0, -1)) this.#line(`${blank}\n`);
    if (!this.#isInLine) this.#sink.open('line');
    this.#isInLine = true;
    if (piece) this.#sink.text(piece);
  }

  lineEnd() {
    if (!this.#isInLine) return;
    this.#sink.text('\n');
    this.#sink.close();
    this.#isInLine = false;
  }

  end() {
    this.lineEnd();
    this.#sink.close();
  }

  /** @param {string} line */
  #line(line) {
    this.#sink.open('line');
    this.#sink.text(line);
    this.#sink.close();
  }
}
