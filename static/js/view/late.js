/**
 * A part of the page that is loaded after it: once, when it is first needed, tried again when that
 * fails, less and less often.
 */

import { Emitter } from '../client/emitter.js';

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;
const MAX_ATTEMPTS = 20;

/** @template T @extends {Emitter<{change: void}>} */
export class Late extends Emitter {
  /** Null until it is there. @type {T | null} */
  value = null;
  /** How often loading has failed. */
  failures = 0;
  #load;
  #isLoading = false;

  /** @param {() => Promise<T>} load */
  constructor(load) {
    super();
    this.#load = load;
  }

  /** Load it, if it is neither there nor on its way; `change` tells of success and of each failure. */
  async load() {
    if (this.value || this.#isLoading) return;
    this.#isLoading = true;
    for (let attempt = 0; !this.value && attempt < MAX_ATTEMPTS; attempt += 1) {
      const waitMs = attempt && Math.min(FIRST_WAIT_MS * 2 ** (attempt - 1), LONGEST_WAIT_MS);
      if (waitMs) await new Promise((resolve) => { setTimeout(resolve, waitMs * (1 - Math.random() / 2)); });
      await this.#load().then((value) => { this.value = value; }, () => { this.failures += 1; });
      this.emit('change', undefined);
    }
    this.#isLoading = false;
  }
}
