/** A position in a source, the operations up to there, and look-aheads in linear time. */

/** @import { Item } from './emphasis.js' */

export class Scanner {
  /** @type {Item[]} */
  items = [];
  /** @type {Map<RegExp, RegExpExecArray | null>} */
  #found = new Map();

  /** @param {string} source @param {number} at @param {boolean} isFinal Whether the source is all there is. */
  constructor(source, at, isFinal) {
    this.source = source;
    this.at = at;
    this.isFinal = isFinal;
  }

  /** @param {string} text @param {number} length How much of the source it takes. */
  add(text, length) {
    /** @type {Item} */
    const item = { at: this.at, text, opens: [], closes: 0, isPending: false };
    this.items.push(item);
    this.at += length;
    return item;
  }

  /** Add what the text to come can change. @param {string} text @param {number} length */
  pending(text, length) {
    const item = this.add(text, length);
    item.isPending = true;
    return item;
  }

  /** Add a whole element; return its beginning. @param {string} tag @param {string} text @param {number} length */
  element(tag, text, length) {
    const begin = this.add('', 0);
    begin.opens = [{ tag }];
    this.add(text, 0);
    this.add('', length).closes = 1;
    return begin;
  }

  /** Add a link. @param {string} text @param {string} to @param {number} length */
  link(text, to, length) {
    const begin = this.element('a', text, length);
    begin.opens = [{ tag: 'a', to }];
    return begin;
  }

  /** Find what is ahead, looking at each stretch once. @param {RegExp} pattern @param {number} [from] */
  next(pattern, from = this.at) {
    const known = this.#found.get(pattern);
    if (known === null || (known && known.index >= from)) return known;
    pattern.lastIndex = from;
    const match = pattern.exec(this.source);
    this.#found.set(pattern, match);
    return match;
  }

  /** Match right here. @param {RegExp} pattern */
  sticky(pattern) {
    pattern.lastIndex = this.at;
    return pattern.exec(this.source);
  }
}
