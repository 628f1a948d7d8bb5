/**
 * What the browser remembers.
 *
 * A browser may refuse storage (private windows, a full disk, a policy). Then the page works as
 * always and only forgets, so refusals are not reported.
 */

/** @import { Memory } from '../model/workspace.js' */

const PREFIX = 'sidestream.';

/** @param {() => Storage} storage @returns {Memory} */
function memory(storage) {
  return {
    remember(key, value) {
      try {
        storage().setItem(PREFIX + key, JSON.stringify(value));
      } catch {
        // see above
      }
    },
    recall(key) {
      try {
        return JSON.parse(storage().getItem(PREFIX + key) ?? 'null');
      } catch {
        return null; // what cannot be read counts as nothing
      }
    },
  };
}

/** From one visit to the next, in all tabs. */
export const visits = memory(() => localStorage);

/** For this tab, also over a reload. */
export const tab = memory(() => sessionStorage);
