/**
 * Parse streaming Markdown: pieces of text in, operations on a growing tree out. No DOM.
 *
 * While the beginning of a line is `UNDECIDED` it is buffered. Then it is parsed once: which open
 * containers it continues, which it opens, and which leaf its text belongs to. The rest of the line
 * goes straight to that leaf. So the cost of a piece does not depend on the text before it.
 *
 * Rules: the meaning of a line never depends on how it was cut. At most `MAX_BUFFERED` characters are
 * buffered; a longer beginning is text. At most `MAX_DEPTH` containers are open; markers beyond that
 * are text. A line that begins with a bar and may be the head of a table waits for the next one; one
 * without that bar is taken back when the next line makes it a head.
 *
 * Differences from CommonMark and GitHub's tables: no setext headings, no link definitions, no raw
 * HTML except `<br>` and small elements without others in them (`<sub>2</sub>`), few named entities,
 * mathematics is left as it is, a table's head without an outer bar is its paragraph's only line,
 * `~~` is the only strikethrough, links lead to http, https and mailto only.
 *
 * Beyond them, as models write: a fence with a language inside a fence of Markdown belongs to it, with
 * its end; a fence with a language may begin behind the words of a line; after `##` no space is needed.
 */

import { CodeLeaf, TextLeaf } from './leaves.js';
import { Cursor, FENCE, FENCE_SO_FAR, HEADING, RULE, TASK, TASK_SO_FAR, UNDECIDED, endsFence, marker } from './lines.js';
import { plain } from './links.js';
import { RULE_SO_FAR, TableLeaf, columns } from './table.js';
import { Tree } from './tree.js';

/** @import { Marker } from './lines.js' */
/** @import { Sink } from './run.js' */

const MAX_BUFFERED = 1000;
const MAX_DEPTH = 32;

export class Markdown {
  #sink;
  #tree;
  #buffer = '';
  #isReading = false; // whether the line's beginning was read
  #head = ''; // a line that may be a table's head
  #endedWithReturn = false;

  /** @param {Sink} sink */
  constructor(sink) {
    this.#sink = sink;
    this.#tree = new Tree(sink);
  }

  /** @param {string} text Not cut within a character. */
  append(text) {
    if (!text) return;
    const isRest = this.#endedWithReturn && text[0] === '\n';
    this.#endedWithReturn = text.endsWith('\r');
    const clean = text.slice(isRest ? 1 : 0).replace(/\r\n?/g, '\n').replaceAll('\0', '\ufffd');
    for (let from = 0; from < clean.length;) {
      const end = clean.indexOf('\n', from);
      this.#take(clean.slice(from, end < 0 ? undefined : end), end >= 0);
      from = end < 0 ? clean.length : end + 1;
    }
  }

  /** Settle all that is open. */
  end() {
    if (this.#buffer) this.#take('', true);
    this.#flushHead();
    this.#tree.closeTo(0);
  }

  // Internal

  /** @param {string} piece @param {boolean} isEnd */
  #take(piece, isEnd) {
    if (this.#isReading) {
      if (piece) this.#tree.leaf?.text(piece);
    } else {
      this.#buffer += piece;
      const isWhole = isEnd && this.#buffer.length < MAX_BUFFERED;
      const isOpen = !isWhole && this.#buffer.length < MAX_BUFFERED;
      if (this.#read(this.#buffer.slice(0, MAX_BUFFERED), isWhole, isOpen)) {
        this.#isReading = true;
        if (this.#buffer.length > MAX_BUFFERED) this.#tree.leaf?.text(this.#buffer.slice(MAX_BUFFERED));
        this.#buffer = '';
      }
    }
    if (!isEnd) return;
    const { leaf } = this.#tree;
    const fence = leaf instanceof TextLeaf ? leaf.takeFence() : null;
    if (fence) this.#tree.begin('pre', () => new CodeLeaf(this.#sink, 'fence', { ...fence, isInText: true }));
    else this.#tree.lineEnd();
    this.#isReading = false;
  }

  /**
   * Read a line's beginning; return false, having changed nothing, if it is undecided.
   *
   * @param {string} text
   * @param {boolean} isWhole Whether this is the whole line.
   * @param {boolean} isOpen Whether more of it can come.
   * @returns {boolean}
   */
  #read(text, isWhole, isOpen) {
    const cursor = new Cursor(text);
    const { leaf } = this.#tree;
    const matched = this.#tree.match(cursor);
    const isMatched = matched === this.#tree.depth;
    const { isBlank } = cursor;
    if (isBlank && isOpen) return false;
    if (this.#head) {
      const isRule = isMatched && RULE_SO_FAR.test(cursor.rest);
      if (isRule && isOpen) return false;
      const alignments = isRule && isWhole && columns(this.#head, cursor.rest.trim());
      if (!alignments) {
        this.#flushHead();
        return this.#read(text, isWhole, isOpen);
      }
      this.#tree.begin('table', () => new TableLeaf(this.#sink, this.#head, alignments));
      this.#head = '';
      return true;
    }
    if (leaf instanceof TextLeaf && isMatched && leaf.row.includes('|') && RULE_SO_FAR.test(cursor.rest)) {
      if (isOpen) return false;
      const alignments = isWhole && columns(leaf.row, cursor.rest.trim());
      if (alignments && alignments.length > 1) {
        const head = leaf.row;
        this.#tree.takeBack();
        this.#tree.begin('table', () => new TableLeaf(this.#sink, head, alignments));
        return true;
      }
    }
    if (leaf instanceof CodeLeaf && isMatched) {
      if (leaf.kind === 'fence') return this.#readFence(leaf, cursor, isWhole, isOpen);
      if (isBlank || cursor.indent > 3) return this.#readIndented(leaf, cursor, isBlank && isWhole);
    }
    if (isBlank && isWhole) {
      this.#tree.blank(matched);
      return true;
    }
    if (isMatched && leaf instanceof TextLeaf && leaf.isMath) return this.#continue(leaf, cursor);
    return this.#begin(cursor, matched, isWhole, isOpen);
  }

  /** @param {CodeLeaf} leaf @param {Cursor} cursor @param {boolean} isWhole @param {boolean} isOpen */
  #readFence(leaf, cursor, isWhole, isOpen) {
    const { inner, isInText, isMarkdown, sign } = leaf;
    const canEnd = cursor.indent < 4;
    const ahead = cursor.rest.trimStart();
    const isEnd = canEnd && endsFence(ahead, inner.at(-1) ?? sign, isWhole);
    if (isEnd === null || (isOpen && (isInText || (isMarkdown && canEnd && FENCE_SO_FAR.test(ahead))))) return false;
    cursor.skip(leaf.indent);
    this.#tree.wasBlank = false;
    const { rest } = cursor;
    if (isEnd && inner.length === 0) {
      this.#tree.closeLeaf();
    } else if (isInText && isWhole && rest.trimEnd().endsWith(sign)) {
      leaf.text(rest.trimEnd().replace(/`+$/, ''));
      this.#tree.closeLeaf();
    } else {
      leaf.text(rest);
      if (isEnd) inner.pop();
      else if (isMarkdown && canEnd && isWhole && inner.length < MAX_DEPTH) inner.push(...namedFence(ahead));
    }
    return true;
  }

  /** @param {CodeLeaf} leaf @param {Cursor} cursor @param {boolean} isBlank */
  #readIndented(leaf, cursor, isBlank) {
    cursor.skip(4);
    if (isBlank) leaf.blank(cursor.rest);
    else leaf.text(cursor.rest);
    this.#tree.wasBlank = isBlank;
    return true;
  }

  /**
   * Read what a line begins and what its text belongs to.
   *
   * @param {Cursor} cursor @param {number} matched @param {boolean} isWhole @param {boolean} isOpen
   */
  #begin(cursor, matched, isWhole, isOpen) {
    const { leaf, depth } = this.#tree;
    /** @type {(Marker | 'quote')[]} */
    const starts = [];
    const begin = (/** @type {string} */ tag, /** @type {() => any} */ make) => {
      this.#tree.start(matched, starts);
      this.#tree.begin(tag, make);
      return true;
    };
    for (;;) {
      const { indent } = cursor;
      const isText = leaf?.kind === 'text' && starts.length === 0;
      const hasRoom = matched + 2 * starts.length < MAX_DEPTH;
      if (cursor.isBlank && isOpen) return false;
      if (cursor.isBlank && isWhole) return begin('', () => null);
      if (indent > 3 && !isText) {
        cursor.skip(4);
        begin('pre', () => new CodeLeaf(this.#sink, 'indented'));
        this.#tree.leaf?.text(cursor.rest);
        return true;
      }
      cursor.skip(indent);
      const { rest } = cursor;
      if (indent > 3) return this.#text(cursor, matched, starts, isOpen);
      if (rest[0] === '>' && hasRoom) {
        cursor.take(1);
        if (cursor.isBlank && isOpen) return false;
        cursor.skip(1);
        starts.push('quote');
        continue;
      }
      if (isOpen && UNDECIDED.test(rest)) return false;
      const heading = HEADING.exec(rest);
      if (heading) {
        const { length } = heading[1] ?? heading[2];
        begin(`h${length}`, () => new TextLeaf(this.#sink, 'heading'));
        this.#tree.leaf?.text(rest.slice(length));
        return true;
      }
      const [, ticks, tickInfo, tildes, tildeInfo] = (isWhole && FENCE.exec(rest)) || [];
      const sign = ticks ?? tildes;
      if (sign) {
        const [language] = plain(tickInfo ?? tildeInfo ?? '').trim().split(/\s/);
        return begin('pre', () => new CodeLeaf(this.#sink, 'fence', { sign, indent, language }));
      }
      if (isWhole && RULE.test(rest)) return begin('hr', () => null);
      const isContinued = isText && matched === depth;
      if (rest[0] === '|' && leaf?.kind !== 'table' && (!isText || isContinued)) {
        if (isOpen) return false;
        if (isWhole) {
          if (!isContinued) this.#tree.start(matched, starts);
          this.#head = rest;
          return true;
        }
      }
      const item = hasRoom && marker(cursor, indent, isWhole, isContinued);
      if (!item) return this.#text(cursor, matched, starts, isOpen);
      starts.push(item);
    }
  }

  /**
   * Read text that begins nothing: it goes on with the last paragraph or table, or is a new paragraph.
   *
   * @param {Cursor} cursor @param {number} matched @param {(Marker | 'quote')[]} starts @param {boolean} isOpen
   */
  #text(cursor, matched, starts, isOpen) {
    const { leaf, depth } = this.#tree;
    let { rest } = cursor;
    if (starts.length === 0) {
      if (leaf?.kind === 'text') return this.#continue(/** @type {TextLeaf} */ (leaf), cursor);
      if (leaf?.kind === 'table' && matched === depth) {
        leaf.text(rest);
        return true;
      }
    }
    const canBeTask = this.#tree.isItemBegun(matched, starts);
    if (canBeTask && isOpen && TASK_SO_FAR.test(rest)) return false;
    const task = canBeTask && TASK.exec(rest);
    this.#tree.start(matched, starts);
    this.#tree.begin('p', () => new TextLeaf(this.#sink));
    if (task) {
      const isDone = task[1] !== ' ';
      this.#sink.open('task', { state: isDone ? 'Done' : 'To do' });
      this.#sink.text(isDone ? '☑ ' : '☐ ');
      this.#sink.close();
      rest = rest.slice(task[0].length);
    }
    this.#tree.leaf?.text(rest);
    return true;
  }

  /** @param {TextLeaf} leaf @param {Cursor} cursor */
  #continue(leaf, cursor) {
    cursor.skip(cursor.indent);
    leaf.continue();
    leaf.text(cursor.rest);
    return true;
  }

  #flushHead() {
    if (!this.#head) return;
    const { leaf } = this.#tree;
    const head = new Cursor(this.#head);
    this.#head = '';
    if (leaf instanceof TextLeaf) this.#continue(leaf, head);
    else this.#text(head, this.#tree.depth, [], false);
  }
}

/** Return the signs of a fence that has a language, if this line is one. @param {string} line */
function namedFence(line) {
  const [, ticks, tickInfo, tildes, tildeInfo] = FENCE.exec(line) ?? [];
  return (tickInfo ?? tildeInfo ?? '').trim() ? [ticks ?? tildes] : [];
}
