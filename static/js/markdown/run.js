/**
 * Write the text of one paragraph, heading or cell as it streams.
 *
 * Settled operations are written once. Open ones are written too, with a mark before each; when they
 * change, everything from the first difference on is undone. So an element only grows at its end, and
 * the part that may be undone is bounded.
 */

import { readInline } from './inline.js';
import { safeAddress } from './links.js';

/** @import { Op, Reading } from './reading.js' */
/** @import { Opening } from './emphasis.js' */

/**
 * What the parser writes to: a tree that only grows at its end.
 *
 * @typedef {object} Sink
 * @property {(tag: string, attributes?: Record<string, string | number>) => unknown} open Begin an element in the last open one.
 * @property {() => void} close End it.
 * @property {(text: string) => void} text
 * @property {() => unknown} mark Return this place, to come back to.
 * @property {(mark: any) => void} rewind Take back all since the mark.
 * @property {(list: any) => void} loosen Put space between the items of a list that `open` returned.
 */

const CONTEXT = 2; // a character of two units

export class InlineRun {
  #sink;
  #source = '';
  #start = 0;
  #run = '';
  #isMath = false;
  /** @type {Op[]} */
  #shown = [];
  /** @type {unknown[]} */
  #marks = []; // where each of them begins

  /** @param {Sink} sink */
  constructor(sink) {
    this.#sink = sink;
  }

  /** Whether displayed mathematics was begun and not ended. */
  get isMath() {
    return this.#isMath;
  }

  /** @param {string} text */
  append(text) {
    this.#source += text;
    this.#write(readInline(this.#source, this.#start, false, this.#run));
  }

  /** Give up what is open. */
  end() {
    this.#write(readInline(this.#source, this.#start, true, this.#run));
  }

  // Internal

  /** @param {Reading} reading */
  #write({ settled, open, end, run, isMath }) {
    this.#show([...settled, ...open]);
    this.#shown = open;
    this.#marks = this.#marks.slice(settled.length);
    this.#run = run;
    this.#isMath = isMath;
    const from = Math.max(0, end - CONTEXT);
    this.#source = this.#source.slice(from);
    this.#start = end - from;
  }

  /** @param {Op[]} ops */
  #show(ops) {
    const shown = this.#shown;
    let same = 0;
    while (same < shown.length && same < ops.length && isSame(shown[same], ops[same])) same += 1;
    if (same < shown.length) {
      const [before, now] = [shown[same], ops[same]];
      if (same === shown.length - 1 && typeof before === 'string' && typeof now === 'string' && now.startsWith(before)) {
        this.#sink.text(now.slice(before.length));
        same += 1;
      } else {
        this.#sink.rewind(this.#marks[same]);
        this.#marks.length = same;
      }
    }
    for (const op of ops.slice(same)) {
      this.#marks.push(this.#sink.mark());
      if (op === null) this.#sink.close();
      else if (typeof op === 'string') this.#sink.text(op);
      else this.#sink.open(op.tag, attributes(op));
    }
  }
}

/** @param {Opening} opening @returns {Record<string, string>} */
function attributes({ tag, ...rest }) {
  return rest.to === undefined ? rest : { ...rest, href: safeAddress(rest.to) };
}

/** @param {Op} one @param {Op} other */
function isSame(one, other) {
  if (one === null || other === null || typeof one === 'string' || typeof other === 'string') return one === other;
  return one.tag === other.tag && one.to === other.to && one.title === other.title;
}
