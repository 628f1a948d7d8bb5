/**
 * Tell the parts of code apart, line by line: each line is read once, when it is complete. No DOM.
 */

import { GRAMMARS, NAMES } from './languages.js';

/** @import { Rule } from './languages.js' */

/** @typedef {[kind: string, text: string]} Part The kind is '' for what stands as it is. */
/** @typedef {{rules: Rule[], words: Set<string>, ignoresCase: boolean, pattern: RegExp, ends: RegExp[]}} Compiled */
/** @typedef {{kind: string, end: RegExp, grammar: Compiled | null}} Region What was begun and has not ended. */

/** A longer line is data. */
const LONGEST_LINE = 1000;
const DEEPEST = 8;

const GRAMMAR_OF = new Map(Object.entries(NAMES).flatMap(([name, others]) =>
  others.split(' ').map((other) => /** @type {const} */ ([other, name]))));
/** @type {Map<string, Compiled>} */
const compiled = new Map();

/** The grammar of a language, or null if it is not known. @param {string} language */
function grammarOf(language) {
  const lower = language.toLowerCase();
  const name = GRAMMAR_OF.get(lower) ?? lower;
  if (!Object.hasOwn(GRAMMARS, name)) return null;
  let grammar = compiled.get(name);
  if (!grammar) {
    const { rules, words = '', ignoresCase = false } = GRAMMARS[name];
    const pattern = new RegExp(rules.map(([, one]) => `(${one})`).join('|'), `gu${ignoresCase ? 'i' : ''}`);
    // A backslash in a text takes the meaning of what follows.
    const ends = rules.map(([kind, , end = '']) => new RegExp(kind === 'string' ? `\\\\.|(${end})` : `(${end})`, 'gu'));
    compiled.set(name, grammar = { rules, words: new Set(words.split(' ')), ignoresCase, pattern, ends });
  }
  return grammar;
}

export class Highlighter {
  #grammar;
  /** @type {Region[]} */
  #open = [];

  /** @param {string} language As a fence names it; of one that is not known nothing is told apart. */
  constructor(language) {
    this.#grammar = grammarOf(language);
  }

  get isKnown() {
    return this.#grammar !== null;
  }

  /** Return the parts of the next line, which together are the line. @param {string} line Without its end. @returns {Part[]} */
  read(line) {
    if (!this.#grammar || line.length > LONGEST_LINE) return [['', line]];
    /** @type {Part[]} */
    const parts = [];
    const add = (/** @type {string} */ kind, /** @type {number} */ from, /** @type {number} */ to) => {
      if (from < to) parts.push([kind, line.slice(from, to)]);
    };
    let at = 0;
    for (let left = 2 * line.length + 2 * DEEPEST; at <= line.length && left > 0; left -= 1) {
      const region = this.#open.at(-1);
      /** @type {Compiled | null} */
      const grammar = region ? region.grammar : this.#grammar;
      const end = region && endOf(region, line, at);
      /** @type {RegExpExecArray | null} */
      const found = grammar && search(grammar.pattern, line, at);
      if (region && end && (!found || end.index <= found.index)) {
        add(grammar ? '' : region.kind, at, end.index);
        add(region.kind, end.index, end.index + end[0].length);
        at = end.index + end[0].length;
        this.#open.pop();
      } else if (grammar && found) {
        const index = found.findIndex((group, place) => place > 0 && group !== undefined) - 1;
        const [kind, , goesOn, inner] = grammar.rules[index];
        const to = found.index + found[0].length;
        add('', at, found.index);
        add(kind === 'word' ? kindOf(found[0], grammar, line[to]) : kind, found.index, to);
        at = to;
        if (goesOn && this.#open.length < DEEPEST) this.#open.push({ kind, end: grammar.ends[index], grammar: inner ? grammarOf(inner) : null });
      } else {
        add(grammar ? '' : region?.kind ?? '', at, line.length);
        at = line.length + 1;
      }
    }
    add('', at, line.length);
    return parts;
  }
}

/** @param {RegExp} pattern @param {string} line @param {number} from @returns {RegExpExecArray | null} */
function search(pattern, line, from) {
  pattern.lastIndex = from;
  return pattern.exec(line);
}

/** @param {Region} region @param {string} line @param {number} from */
function endOf({ end }, line, from) {
  let found = search(end, line, from);
  while (found && found[1] === undefined) found = end.exec(line);
  return found;
}

/** @param {string} word @param {Compiled} grammar @param {string | undefined} next The character behind it. */
function kindOf(word, { ignoresCase, words }, next) {
  if (words.has(ignoresCase ? word.toLowerCase() : word)) return 'keyword';
  return next === '(' ? 'name' : '';
}
