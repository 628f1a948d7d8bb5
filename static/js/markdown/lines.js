/**
 * The beginnings of lines: indentation, and the markers of blocks.
 *
 * A line is parsed as soon as its beginning determines its kind; `UNDECIDED` matches every beginning
 * that could still become something else.
 */

/** A place in a line that counts columns, since a tab is as wide as it has to be. */
export class Cursor {
  at = 0;
  column = 0;
  #rest = 0; // columns of a tab that was taken in part

  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  /** How many columns of white space are ahead. */
  get indent() {
    let columns = this.#rest;
    for (let at = this.at; SPACE.test(this.text[at] ?? 'x'); at += 1) {
      columns += this.text[at] === '\t' ? 4 - ((this.column + columns) % 4) : 1;
    }
    return columns;
  }

  /** Whether there is nothing but white space ahead. */
  get isBlank() {
    return /^[ \t]*$/.test(this.text.slice(this.at));
  }

  /** The first character that is no white space, or ''. */
  get next() {
    return /[^ \t]/.exec(this.text.slice(this.at))?.[0] ?? '';
  }

  /** What is ahead, with what is left of a tab. */
  get rest() {
    return ' '.repeat(this.#rest) + this.text.slice(this.at);
  }

  /** Go over so many columns of white space, or as many as there are. @param {number} columns */
  skip(columns) {
    while (columns > 0) {
      if (this.#rest === 0) {
        const next = this.text[this.at];
        if (!SPACE.test(next ?? 'x')) return;
        this.#rest = next === '\t' ? 4 - (this.column % 4) : 1;
        this.at += 1;
      }
      const step = Math.min(this.#rest, columns);
      this.#rest -= step;
      this.column += step;
      columns -= step;
    }
  }

  /** Go over characters that are no white space. @param {number} count */
  take(count) {
    this.at += count;
    this.column += count;
  }
}

const SPACE = /[ \t]/;

/** Beginnings that the next character can turn into a heading, a fence, a rule or an item, or not. */
export const UNDECIDED = /^(?:#{1,6}|`{1,2}|`{3,}[^`]*|~~?|~{3,}.*|([-*_])(?:[ \t]*\1)*[ \t]*|[-+*][ \t]*|\d{1,9}[.)]?[ \t]*)$/;
/** After two signs and more, a letter may follow at once, as models write it. */
export const HEADING = /^(?:(#{1,6})(?=[ \t]|$)|(#{2,6})(?=[\p{L}\p{N}*]))/u;
export const FENCE = /^(?:(`{3,})([^`]*)|(~{3,})(.*))$/;
export const FENCE_SO_FAR = /^(?:`{1,2}|~{1,2}|`{3,}[^`]*|~{3,}.*)$/;
export const RULE = /^(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|(?:-[ \t]*){3,})$/;
const ITEM = /^(?:([-+*])|(\d{1,9})([.)]))(?=[ \t]|$)/;
export const TASK = /^\[([ xX])\](?=[ \t])/;
export const TASK_SO_FAR = /^\[(?:[ xX]\]?)?$/;

/** @typedef {{type: string, number: number | null, offset: number}} Marker An item's: `offset` is where its text begins. */

/**
 * Go over the marker of a list's item, if there is one.
 *
 * @param {Cursor} cursor Behind the white space.
 * @param {number} indent How much of that there was.
 * @param {boolean} isWhole
 * @param {boolean} isInText Whether it would interrupt a paragraph, which not every marker may.
 * @returns {Marker | null}
 */
export function marker(cursor, indent, isWhole, isInText) {
  const match = ITEM.exec(cursor.rest);
  if (!match) return null;
  const [{ length }, bullet, digits, delimiter] = match;
  const isBlank = /^[ \t]*$/.test(cursor.rest.slice(length));
  if ((isBlank && !isWhole) || (isInText && (isBlank || Number(digits ?? 1) !== 1))) return null;
  const before = cursor.column;
  cursor.take(length);
  const spaces = cursor.indent;
  cursor.skip(spaces < 5 && !isBlank ? spaces : 1);
  const offset = indent + (isBlank ? length + 1 : cursor.column - before);
  return { type: bullet ?? delimiter, number: digits ? Number(digits) : null, offset };
}

/** Say whether a line ends a fence; null if it cannot be told yet. @param {string} rest @param {string} fence @param {boolean} isWhole */
export function endsFence(rest, fence, isWhole) {
  const signs = rest.match(fence[0] === '~' ? /^~*/ : /^`*/)?.[0].length ?? 0;
  if (!/^[ \t]*$/.test(rest.slice(signs))) return false;
  return isWhole ? signs >= fence.length : null;
}
