/**
 * The rows of a run that are in view, read from the server: one request at a time, at most two a second.
 *
 * A row has a place among the prompts that match what is chosen. Rows that were read stay known when the run
 * changes, and are read again once they are in view.
 */

import { SidestreamError } from '../client/protocol.js';

/** @import { Row, RowChoice } from '../client/runs.js' */
/** @import { RunOrder } from '../model/run-order.js' */
/** @import { Host } from './runs-view.js' */

const READ_EVERY_MS = 500;
/** So many rows are read at once, at most. */
const MOST_ROWS = 100;

/**
 * @typedef {object} ReaderParts
 * @property {string} run Its id.
 * @property {RunOrder} order
 * @property {() => [number, number]} inView The first place that is needed, and the one behind the last.
 * @property {() => [number, number]} came Show what was read; return what is in view now.
 * @property {() => void} gone The run was deleted: nothing more can be read.
 */

export class RowReader {
  #host;
  #signal;
  #parts;
  /** By place. @type {Map<number, Row>} */
  #known = new Map();
  /** Places that were read since the run has changed. @type {Set<number>} */
  #fresh = new Set();
  #isReading = false;
  #isDue = false;
  /** The next request does not wait for the rest. */
  #isHurried = false;
  #isGone = false;
  /** End the rest between two requests. */
  #wake = () => {};

  /** @param {Pick<Host, 'api' | 'read'>} host @param {AbortSignal} signal @param {ReaderParts} parts */
  constructor(host, signal, parts) {
    this.#host = host;
    this.#signal = signal;
    this.#parts = parts;
  }

  // Actions

  /** @param {number} place */
  row(place) {
    return this.#known.get(place);
  }

  /** The prompt at a place, null as long as it is not known. @param {number} place */
  promptAt(place) {
    return this.#known.get(place)?.prompt ?? (this.#parts.order.isEverything ? place : null);
  }

  /** The run has changed: read what is in view again. */
  refresh() {
    this.#fresh.clear();
    void this.#read();
  }

  /** Other prompts are chosen: forget all and read anew. */
  restart() {
    this.#known.clear();
    this.#fresh.clear();
    this.#readNow();
  }

  /** So many places there are. @param {number} total */
  cut(total) {
    for (const place of this.#known.keys()) if (place >= total) this.#known.delete(place);
  }

  /** These are in view: read those that are not known, and those that are not fresh. @param {number} first @param {number} end */
  need(first, end) {
    if (this.#lacks(this.#known, first, end)) this.#readNow();
    else if (this.#lacks(this.#fresh, first, end)) void this.#read();
  }

  /** Read nothing more. */
  end() {
    this.#isGone = true;
  }

  // Internal

  /** @param {{has: (place: number) => boolean}} places @param {number} first @param {number} end */
  #lacks(places, first, end) {
    for (let place = first; place < end; place += 1) if (!places.has(place)) return true;
    return false;
  }

  #readNow() {
    this.#isHurried = true;
    void this.#read();
    this.#wake();
  }

  async #read() {
    this.#isDue = true;
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#isDue && !this.#isGone && !this.#signal.aborted) {
      this.#isDue = this.#isHurried = false;
      await this.#host.read(() => this.#readView());
      if (!this.#isHurried) await new Promise((resolve) => {
        this.#wake = () => resolve(undefined);
        setTimeout(resolve, READ_EVERY_MS);
      });
    }
    this.#isReading = false;
  }

  async #readView() {
    const { order, inView, came } = this.#parts;
    const [first, end] = inView();
    const { choice } = order;
    const read = await this.#rows(first, Math.min(MOST_ROWS, Math.max(1, end - first)), choice);
    if (!read || this.#signal.aborted || choice !== order.choice) return;
    const { rows, matching } = read;
    order.note(first, rows, matching);
    rows.forEach((row, index) => {
      this.#known.set(first + index, row);
      this.#fresh.add(first + index);
    });
    // More match than before: rows have come into view that were not asked for.
    if (this.#lacks(this.#known, ...came())) this.#isDue = true;
  }

  /** Null of a run that was deleted. @param {number} first @param {number} limit @param {RowChoice} choice */
  async #rows(first, limit, choice) {
    try {
      return await this.#host.api.rows(this.#parts.run, first, limit, choice);
    } catch (error) {
      if (!(error instanceof SidestreamError) || error.code !== 'unknown_run') throw error;
      this.#parts.gone();
      return null;
    }
  }
}
