/**
 * Deletions that can be undone for a while: what is deleted is hidden at once, the server is told later. No DOM.
 *
 * The server deletes for good, so it is told last: when the time is over, something else is deleted, or the page
 * goes. Nothing is deleted from a page that breaks off before that.
 *
 * Events: `change` when something is to be deleted, is to be kept, or was sent; `failed` when the server did not
 * delete it: it is shown again.
 */

import { Emitter } from '../client/emitter.js';
import { SidestreamError } from '../client/protocol.js';

/**
 * @typedef {object} Deletion
 * @property {string} id
 * @property {string} name
 * @property {() => Promise<unknown>} send Rejects with a SidestreamError.
 * @property {() => Promise<unknown>} [restore] What is to be done when it is kept.
 */

/** Long enough to hear of it, and to come to the button. */
export const UNDO_MS = 30_000;
/** Somebody else has deleted it. */
const GONE = ['unknown_run', 'unknown_prompt_set'];

/** @extends {Emitter<{change: void, failed: {name: string, error: SidestreamError}}>} */
export class Deletions extends Emitter {
  /** @type {Deletion | null} */
  #pending = null;
  /** What was sent stays hidden: a list may have been read before. @type {Set<string>} */
  #hidden = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** What can be undone. */
  get pending() {
    return this.#pending;
  }

  /** Whether something is not to be shown. @param {string} id */
  has(id) {
    return this.#hidden.has(id);
  }

  /** Hide something, and delete it in a while. @param {Deletion} deletion */
  begin(deletion) {
    void this.flush();
    this.#pending = deletion;
    this.#hidden.add(deletion.id);
    this.#timer = setTimeout(() => void this.flush(), UNDO_MS);
    this.emit('change', undefined);
  }

  /** Keep what was deleted last; return its id. Rejects with a SidestreamError if it was not restored: it is kept all the same. @returns {Promise<string | null>} */
  async undo() {
    const kept = this.#take();
    if (!kept) return null;
    this.#hidden.delete(kept.id);
    this.emit('change', undefined);
    await kept.restore?.();
    return kept.id;
  }

  /** Delete now what can be undone. */
  async flush() {
    const deletion = this.#take();
    if (!deletion) return;
    this.emit('change', undefined);
    try {
      await deletion.send();
    } catch (error) {
      if (!(error instanceof SidestreamError)) throw error;
      if (GONE.includes(error.code)) return;
      this.#hidden.delete(deletion.id);
      this.emit('failed', { name: deletion.name, error });
    }
  }

  // Internal

  #take() {
    const pending = this.#pending;
    this.#pending = null;
    clearTimeout(this.#timer);
    return pending;
  }
}
