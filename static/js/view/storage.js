/**
 * The browser's storage.
 *
 * A browser may refuse storage (private windows, a full disk, a policy). Then the page works without
 * it, so refusals are not reported.
 */

/** @import { Memory } from '../model/workspace.js' */

const PREFIX = 'sidestream.';

/** @param {() => Storage} storage @returns {Memory} */
function memory(storage) {
  return {
    set(key, value) {
      try {
        storage().setItem(PREFIX + key, JSON.stringify(value));
      } catch {
        // see above
      }
    },
    get(key) {
      try {
        return JSON.parse(storage().getItem(PREFIX + key) ?? 'null');
      } catch {
        return null; // unreadable is the same as missing
      }
    },
  };
}

/** Shared by all tabs and visits. */
export const visits = memory(() => localStorage);

/** Of this tab; survives a reload. */
export const tab = memory(() => sessionStorage);
