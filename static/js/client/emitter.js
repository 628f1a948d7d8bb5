/**
 * Typed events without a DOM.
 *
 * A listener that throws affects neither the others nor the caller: its error is reported as an
 * uncaught error.
 */

/** @template {object} Events A map from the event's name to what its listeners are given. */
export class Emitter {
  /** @type {Map<keyof Events, Set<(detail: any) => void>>} */
  #listeners = new Map();

  /**
   * Call `listener` at every `type` until the function returned is called, or `signal` aborts.
   *
   * @template {keyof Events} T
   * @param {T} type
   * @param {(detail: Events[T]) => void} listener
   * @param {{signal?: AbortSignal}} [options]
   * @returns {() => void}
   */
  on(type, listener, { signal } = {}) {
    if (signal?.aborted) return () => {};
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners);
    // Wrapped, so that the same function may listen twice and each stop by itself.
    const entry = (/** @type {Events[T]} */ detail) => listener(detail);
    const off = () => {
      listeners.delete(entry);
      signal?.removeEventListener('abort', off);
    };
    listeners.add(entry);
    signal?.addEventListener('abort', off, { once: true });
    return off;
  }

  /** Whether anybody listens. @protected @param {keyof Events} type */
  hears(type) {
    return Boolean(this.#listeners.get(type)?.size);
  }

  /**
   * Tell the listeners of `type`, in the order they came; one that is added meanwhile is not told.
   *
   * @protected
   * @template {keyof Events} T
   * @param {T} type
   * @param {Events[T]} detail
   */
  emit(type, detail) {
    const listeners = this.#listeners.get(type);
    if (!listeners) return;
    for (const listener of [...listeners]) {
      try {
        listener(detail);
      } catch (error) {
        report(error);
      }
    }
  }
}

/** @param {unknown} error */
function report(error) {
  if (typeof reportError === 'function') reportError(error);
  else queueMicrotask(() => { throw error; }); // Node has no reportError
}
