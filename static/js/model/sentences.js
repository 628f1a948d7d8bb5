/**
 * Split streaming text into sentences, for screen readers. No DOM.
 *
 * A sentence ends at a punctuation mark with white space behind it, or with its line; so "3.14" and
 * file names stay whole. Text longer than `MAX_CHARS` without an end is returned as it is.
 */

const END = /[.!?…:;][)\]"'”’»]*\s+|[。！？؟।]\s*|\n+/gu;
const MAX_CHARS = 400;

export class Sentences {
  #rest = '';

  /** Add text; return the sentences that are complete now. @param {string} text */
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

  /** Return the rest. */
  end() {
    const rest = this.#rest.trim();
    this.#rest = '';
    return rest;
  }
}
