/**
 * What the browser remembers from one visit to the next.
 *
 * A browser may refuse storage (private windows, a full disk, a policy). Then the page works as
 * always and only forgets, so refusals are not reported.
 */

const PREFIX = 'sidestream.';

/** @param {string} key @param {unknown} value */
export function remember(key, value) {
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // see above
  }
}

/** Return what was remembered, or null; what cannot be read counts as nothing. @param {string} key */
export function recall(key) {
  try {
    return /** @type {unknown} */ (JSON.parse(localStorage.getItem(PREFIX + key) ?? 'null'));
  } catch {
    return null;
  }
}
