/** What holds text: paragraphs and headings, code, tables. Each takes its lines in any pieces. */

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
const SPACE_OR_SIGN = /[ \t#]/;

/** A paragraph, a heading or a cell: spaces around its lines are left out, signs that end a heading too. */
export class TextLeaf {
  #sink;
  #run;
  #holds;
  #held;
  #isEmpty = true;

  /** @param {Sink} sink @param {'text' | 'heading'} kind */
  constructor(sink, kind = 'text') {
    this.kind = kind;
    this.#sink = sink;
    this.#run = new InlineRun(sink);
    this.#holds = kind === 'heading' ? SPACE_OR_SIGN : SPACE;
    this.#held = kind === 'heading' ? ' ' : '';
  }

  get isMath() {
    return this.#run.isMath;
  }

  /** @param {string} piece */
  text(piece) {
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
    const held = this.#held;
    this.#held = `${held.endsWith('  ') ? '  ' : held && ' '}\n`;
  }

  lineEnd() {}

  end() {
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

  /** @param {string} text */
  #put(text) {
    this.#run.append(this.#isEmpty ? text.replace(/^[ \t]+/, '') : text);
    this.#isEmpty = false;
  }
}

/** Code, fenced or indented: nothing in it means anything. */
export class CodeLeaf {
  #sink;
  #isInLine = false;
  #blanks = '';

  /** @param {Sink} sink @param {'fence' | 'indented'} kind @param {{sign?: string, indent?: number, language?: string}} [fence] */
  constructor(sink, kind, { sign = '', indent = 0, language = '' } = {}) {
    this.kind = kind;
    this.sign = sign;
    this.indent = indent;
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
