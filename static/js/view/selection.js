/** Which models are selected when the page opens. No DOM. */

/** @import { Model } from '../client/protocol.js' */

const DEFAULT_COUNT = 2;

/**
 * Return the ids remembered that still exist, or, if nothing was ever chosen or all of it is gone,
 * the first models that have not failed.
 *
 * @param {Model[]} models
 * @param {unknown} remembered What the storage gave, whatever that is.
 * @returns {string[]}
 */
export function initialSelection(models, remembered) {
  if (Array.isArray(remembered)) {
    const known = models.map(({ id }) => id).filter((id) => remembered.includes(id));
    if (known.length > 0 || remembered.length === 0) return known;
  }
  const usable = models.filter(({ state }) => state !== 'failed');
  return usable.slice(0, DEFAULT_COUNT).map(({ id }) => id);
}
