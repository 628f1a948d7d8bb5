/**
 * Write a text that grows into the page, as Markdown, piece by piece.
 *
 * What is told again from its beginning, after a cut, goes on where it was: only a text that is another one is written
 * anew. What comes is written in the next frame, long texts in slices between which the page stays usable.
 */

import { inSlices, pageFrames } from './frames.js';
import { turnViews } from './turn-views.js';

/** Of each text that grows in a frame; slow machines parse it in less than half a millisecond. */
const CHARS_IN_STEP = 400;

/** Of all texts here. @type {import('./frames.js').Frames | null} */
let frames = null;

export class GrowingText {
  #element;
  /** @type {InstanceType<typeof turnViews.MarkdownWriter> | null} */
  #writer = null;
  #text = '';
  #written = 0;
  #isWhole = false;
  #hasEnded = false;
  /** Whether its end is out of sight; it is written less often there. */
  isUnseen = false;
  #step = () => this.#write();
  #job = { write: () => this.#write() && inSlices(this.#step) };

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  get isEmpty() {
    return this.#text === '';
  }

  // Actions

  /** Show this text. @param {string} text @param {{isWhole?: boolean}} [options] `isWhole`: nothing follows. */
  set(text, { isWhole = false } = {}) {
    const goesOn = text.startsWith(this.#text.slice(0, this.#written)) && !(this.#hasEnded && (text.length > this.#written || !isWhole));
    if (!goesOn) this.#startAgain();
    this.#text = text;
    this.#isWhole = isWhole;
    inSlices(this.#step);
  }

  /** Show more behind it. @param {string} text */
  append(text) {
    this.#text += text;
    frames ??= pageFrames();
    if (this.isUnseen) frames.scheduleUnseen(this.#job);
    else frames.schedule(this.#job);
  }

  // Internal

  #startAgain() {
    this.#writer = null;
    this.#written = 0;
    this.#hasEnded = false;
    this.#element.replaceChildren();
  }

  /** Write a piece; tell whether there is more. */
  #write() {
    if (this.#hasEnded || !this.#element.isConnected) return false;
    this.#writer ??= new turnViews.MarkdownWriter(this.#element);
    const piece = pieceOf(this.#text, this.#written);
    this.#writer.append(piece);
    this.#written += piece.length;
    if (this.#written < this.#text.length) return true;
    if (this.#isWhole) this.#writer.end();
    this.#hasEnded = this.#isWhole;
    return false;
  }
}

/** What is written next; halves of a character stay together. @param {string} text @param {number} from */
function pieceOf(text, from) {
  const end = from + CHARS_IN_STEP;
  return text.slice(from, /[\uD800-\uDBFF]/.test(text[end - 1] ?? '') ? end + 1 : end);
}
