/**
 * Parse inline Markdown: emphasis, code, links, mathematics. Text in, operations out; no DOM.
 *
 * Parsing starts at the first character whose meaning may still change. The result has two parts:
 * operations that are settled, and operations that are still open, parsed as if they were closed (a
 * link with an incomplete address is a link, code without an end is code). At the end of the line
 * everything is settled, and what was never closed is text.
 *
 * Rules: a closing mark must come within `REACH` characters, which bounds the open part; the meaning
 * depends on positions and never on how the text was cut; each look-ahead is done once (`next`), so
 * hostile input takes linear time.
 */

import { LONGEST_RUN, REACH, beginEarly, flanks, pair } from './emphasis.js';
import { LEADS_OUT, REFERENCE, character, destination, trimmedAddress } from './links.js';
import { reading } from './reading.js';
import { Scanner } from './scanner.js';

/** @import { Delimiter, Item } from './emphasis.js' */
/** @import { Reading } from './reading.js' */

/** @typedef {Item & {index: number, delimiters: number, isImage: boolean, isActive: boolean}} Bracket */

const SPECIAL = /[\\`*_~[\]<&\n$]|!\[|(?<![\p{L}\p{N}])https?:\/{2}/gu;
/** At the end of what is there: perhaps the beginning of something. */
const PERHAPS = /(?:!|(?<![\p{L}\p{N}])h(?:t(?:t(?:ps?(?::\/?)?)?)?)?)$/u;
const ADDRESS = /https?:\/{2}[^\s<]{1,2000}/y;
const ANGLED = /<(?:([a-zA-Z][a-zA-Z\d+.-]{1,31}:[^\s<>]{0,2000})|([\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-zA-Z\d-]{1,63}(?:\.[a-zA-Z\d-]{1,63}){0,8})|[bB][rR] ?\/?)>/y;
/** Small elements that models write where Markdown has no sign. */
const SMALL = /<(sub|sup|kbd|u|mark)>([^<>\n]{1,200})<\/\1>/y;
const SMALL_SO_FAR = /<(?:sub|sup|kbd|u|mark)>[^<>\n]{0,200}(?:<\/?[a-z]{0,4})?$/y;
const MAX_ANGLED = 2040;
const MAX_BRACKETS = 32;
const ESCAPED = /[!-/:-@[-`{-~]/;
/** @type {Record<string, RegExp>} */
const ENDS = { '\\(': /\\\)/g, '\\[': /\\\]/g, $$: /\$\$/g, $: /(?<![\s\\$])\$(?![$\da-zA-Z])/g };
/** What stands between two prices, or two names of a shell's variables. */
const NO_FORMULA = /^(?:\d[\d.,]*[a-zA-Z]?[ \n/-][a-zA-Z]{2}|[A-Z_]{2,}\b)[^\\^={}]*$/;
const TICKS = Array.from({ length: LONGEST_RUN + 1 }, (_, n) => new RegExp(`(?<!\`)\`{${n}}(?!\`)`, 'g'));

/**
 * @param {string} source The open part, after a few characters that are settled.
 * @param {number} start Where the open part begins.
 * @param {boolean} isFinal Whether nothing follows.
 * @param {string} run The sign of which an overlong run was settled at `start`, or ''.
 * @returns {Reading}
 */
export function readInline(source, start, isFinal, run = '') {
  return new Inline(source, start, isFinal, run).read();
}

class Inline extends Scanner {
  /** @type {Delimiter[]} */
  #delimiters = [];
  /** @type {Bracket[]} */
  #brackets = [];
  #isMath = false;
  #isLong;
  #run;

  /** @param {string} source @param {number} start @param {boolean} isFinal @param {string} run */
  constructor(source, start, isFinal, run) {
    super(source, start, isFinal);
    this.#run = run;
    this.#isLong = source.length - start > 2 * REACH;
  }

  read() {
    const source = this.source;
    while (this.at < source.length) {
      const match = this.next(SPECIAL);
      const end = match?.index ?? source.length;
      if (end > this.at) this.#plain(end, !match);
      if (match) this.#special(match[0]);
    }
    const openers = pair(this.#delimiters);
    if (this.isFinal) return reading(this.items, source.length);
    for (const one of this.#brackets) one.isPending ||= one.isActive && this.#mayEnd(one.at);
    for (const one of openers) {
      one.isPending = this.#mayEnd(one.at);
      if (one.isPending) beginEarly(one);
    }
    const result = reading(this.items, source.length);
    return { ...result, run: result.end === source.length ? this.#run : '', isMath: this.#isMath };
  }

  /** @param {Item} opener */
  #canReach(opener) {
    return this.at - opener.at <= REACH;
  }

  /**
   * Whether what began there is kept open. What is out of reach is not given up one by one but
   * when there is much of it, since giving up writes anew all that follows.
   *
   * @param {number} from
   */
  #mayEnd(from) {
    return !this.isFinal && (!this.#isLong || this.source.length - from <= REACH);
  }

  /** @param {number} end @param {boolean} isLast */
  #plain(end, isLast) {
    const source = this.source;
    const context = source.slice(Math.max(0, this.at - 2, end - 10), end);
    const held = isLast && !this.isFinal ? PERHAPS.exec(context)?.[0].length ?? 0 : 0;
    const from = Math.max(this.at, end - held);
    this.#run = '';
    if (from > this.at) this.add(source.slice(this.at, from), from - this.at);
    if (end > from) this.pending(source.slice(from, end), end - from);
  }

  /** @param {string} sign */
  #special(sign) {
    const first = sign[0];
    if (first !== this.#run) this.#run = '';
    if ('*_~`'.includes(first)) this.#signs(first);
    else if (first === '\n') this.#lineEnd();
    else if (first === '\\') this.#backslash();
    else if (first === '$') this.#dollar();
    else if (first === '[' || first === '!') this.#bracket(sign);
    else if (first === ']') this.#bracketEnd();
    else if (first === '<') this.#angle();
    else if (first === '&') this.#reference();
    else this.#address(sign);
  }

  /** @param {string} sign */
  #signs(sign) {
    const source = this.source;
    let end = this.at;
    while (source[end] === sign) end += 1;
    const length = end - this.at;
    if (length > LONGEST_RUN || this.#run === sign) {
      this.add(source.slice(this.at, end), length);
      this.#run = end === source.length ? sign : '';
      return;
    }
    if (end === source.length && !this.isFinal) return void this.pending('', length);
    if (sign === '`') return this.#verbatim(TICKS[length], length, 'code');
    const can = flanks(sign, length, source.slice(Math.max(0, this.at - 2), this.at), source.slice(end, end + 2));
    const item = this.add(source.slice(this.at, end), length);
    if (sign !== '~' || length === 2) this.#delimiters.push(Object.assign(item, { length, ...can }));
  }

  #lineEnd() {
    const source = this.source;
    let from = this.at;
    while (source[from - 1] === ' ') from -= 1;
    const spaces = this.at - from;
    const last = this.items.at(-1);
    if (last && spaces) last.text = last.text.slice(0, -spaces);
    if (spaces < 2) this.add('\n', 1);
    else this.element('br', '', 1);
  }

  #backslash() {
    const next = this.source[this.at + 1];
    if (next === undefined && !this.isFinal) this.pending('', 1);
    else if (next === '\n') this.element('br', '', 2);
    else if (next === '(' || next === '[') this.#verbatim(ENDS[`\\${next}`], 2, 'math');
    else if (next && ESCAPED.test(next)) this.add(next, 2);
    else this.add('\\', 1);
  }

  #dollar() {
    const next = this.source[this.at + 1];
    if (next === undefined && !this.isFinal) this.pending('$', 1);
    else if (next === '$') this.#verbatim(ENDS.$$, 2, 'math');
    else if (next === undefined || /\s/.test(next) || /[\da-zA-Z]/.test(this.source[this.at - 1] ?? '')) this.add('$', 1);
    else this.#verbatim(ENDS.$, 1, 'math');
  }

  /**
   * Take code or mathematics as it stands; mathematics keeps its signs.
   *
   * @param {RegExp} closer @param {number} length Of its opener. @param {'code' | 'math'} tag
   */
  #verbatim(closer, length, tag) {
    const source = this.source;
    const from = this.at;
    const isMath = tag === 'math';
    const match = this.next(closer, from + length);
    const end = match ? match.index + match[0].length : source.length;
    const isNear = end - from <= REACH;
    if (match && isNear && isMath && length === 1 && NO_FORMULA.test(source.slice(from + 1, match.index))) {
      this.add('$', 1);
    } else if (match && isNear && (end < source.length || this.isFinal || (isMath && length > 1))) {
      this.element(tag, isMath ? source.slice(from, end) : code(source.slice(from + length, match.index)), end - from);
    } else if ((!match || isNear) && this.#mayEnd(from)) {
      this.#openVerbatim(match ? match.index : end, length, tag);
    } else {
      const isEscape = source[from] === '\\';
      this.add(isEscape ? source[from + 1] : source.slice(from, from + length), length);
    }
  }

  /**
   * Show what has no end yet: code as if it had one, mathematics as its source. A price is more frequent
   * than mathematics in one `$`.
   *
   * @param {number} end @param {number} length @param {'code' | 'math'} tag
   */
  #openVerbatim(end, length, tag) {
    const source = this.source;
    const from = this.at;
    const begin = this.pending('', 0);
    if (tag === 'code') {
      begin.opens = [{ tag }];
      this.add(code(source.slice(from + length, end)), source.length - from);
    } else if (length === 1) {
      this.add('$', 1);
    } else {
      this.#isMath = source.length - from <= REACH;
      this.add(source.slice(from), source.length - from);
    }
  }

  /** @param {string} sign */
  #bracket(sign) {
    const now = { index: this.items.length, delimiters: this.#delimiters.length };
    const item = this.add(sign, sign.length);
    this.#brackets.push(Object.assign(item, now, { isImage: sign !== '[', isActive: true }));
    if (this.#brackets.length > MAX_BRACKETS) this.#brackets.shift();
  }

  #bracketEnd() {
    const source = this.source;
    const bracket = this.#brackets.at(-1);
    const canLink = bracket?.isActive && this.#canReach(bracket);
    const next = source[this.at + 1];
    if (canLink && next === undefined && !this.isFinal) return void this.pending(']', 1);
    const target = canLink && next === '(' ? destination(source, this.at + 1) : 'no';
    if (bracket && target === 'more' && !this.isFinal) {
      bracket.isPending = true;
      pair(this.#delimiters.splice(bracket.delimiters));
      Object.assign(bracket, { text: '', opens: [{ tag: 'a' }] });
      return void this.pending('', source.length - this.at);
    }
    this.#brackets.pop();
    if (!bracket || typeof target === 'string') return void this.add(']', 1);
    const { to, title, end } = target;
    pair(this.#delimiters.splice(bracket.delimiters));
    Object.assign(bracket, { text: '', opens: [{ tag: 'a', to, ...(title && { title }) }] });
    this.add('', end - this.at).closes = 1;
    // A link holds no other: a picture in it is only its words.
    for (const { opens } of this.items.slice(bracket.index + 1)) {
      for (const one of opens) if (one.tag === 'a') one.tag = 'span';
    }
    if (bracket.isImage) return;
    for (let n = this.#brackets.length - 1; n >= 0; n -= 1) {
      const outer = this.#brackets[n];
      if (!outer.isImage && !outer.isActive) break;
      outer.isActive = outer.isImage;
    }
  }

  #angle() {
    const match = this.sticky(ANGLED);
    const small = match ? null : this.sticky(SMALL);
    const to = match && (match[1] ?? (match[2] ? `mailto:${match[2]}` : ''));
    if (match && to === '') {
      this.element('br', '', match[0].length);
    } else if (match && to && LEADS_OUT.test(to)) {
      this.link(match[1] ?? match[2], to, match[0].length);
    } else if (small) {
      this.element(small[1], small[2], small[0].length);
    } else {
      const isSmall = !this.isFinal && this.sticky(SMALL_SO_FAR) !== null;
      const ahead = this.isFinal ? ' ' : this.source.slice(this.at, this.at + MAX_ANGLED);
      this.add('<', 1).isPending = isSmall || (ahead.length < MAX_ANGLED && /^<[^\s<>]* ?\/?$/.test(ahead));
    }
  }

  #reference() {
    const match = this.sticky(REFERENCE);
    const ahead = this.isFinal ? ' ' : this.source.slice(this.at, this.at + 34);
    if (match) this.add(character(match[0], match[1], match[2], match[3]), match[0].length);
    else this.add('&', 1).isPending = ahead.length < 34 && /^&#?\w*$/.test(ahead);
  }

  /** @param {string} scheme */
  #address(scheme) {
    const found = this.sticky(ADDRESS)?.[0] ?? '';
    const address = trimmedAddress(found);
    const bracket = this.#brackets.at(-1);
    const isText = address.length <= scheme.length || (bracket?.isActive && this.#canReach(bracket));
    const end = this.at + Math.max(found.length, scheme.length);
    const first = isText ? this.add(scheme, scheme.length) : this.link(address, address, address.length);
    if (this.isFinal || end < this.source.length) return;
    first.isPending = true;
    if (!isText) first.opens = [{ tag: 'a' }];
  }
}

/** @param {string} text */
function code(text) {
  const line = text.replaceAll('\n', ' ');
  return line.startsWith(' ') && line.endsWith(' ') && /[^ ]/.test(line) ? line.slice(1, -1) : line;
}
