/**
 * Whole sentences out of text that arrives in pieces, for those who listen. No DOM.
 *
 * A sentence ends at its mark and the white space behind it, or with its line; so "3.14" and a
 * name of a file stay whole. Text without an end is given when it is too long to wait for.
 */

const END = /[.!?…:;][)\]"'”’»]*\s+|[。！？؟।]\s*|\n+/gu;
const MAX_CHARS = 400;

export class Sentences {
  #rest = '';

  /** Add text; return the sentences that are whole now. @param {string} text */
  add(text) {
    this.#rest += text;
    const sentences = [];
    let start = 0;
    for (const { 0: mark, index } of this.#rest.matchAll(END)) {
      sentences.push(this.#rest.slice(start, index + mark.length));
      start = index + mark.length;
    }
    this.#rest = this.#rest.slice(start);
    if (this.#rest.length > MAX_CHARS) sentences.push(this.end());
    return sentences.map((one) => one.trim()).filter(Boolean);
  }

  /** Return what is left. */
  end() {
    const rest = this.#rest.trim();
    this.#rest = '';
    return rest;
  }
}
