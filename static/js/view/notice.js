/**
 * An error as the page shows it: what happened, the cause, what to do.
 *
 * What stands between backticks is set as code, by nodes and never by markup.
 */

import { h } from './element.js';
import { advice, errorTitle, pieces, sentence } from './words.js';

/** @import { WireError } from '../client/protocol.js' */

/**
 * @param {WireError} error
 * @param {{isAlert?: boolean}} [options] `isAlert`: read it aloud at once.
 */
export function notice(error, { isAlert = false } = {}) {
  const { code, message } = error;
  return h('div', { class: 'notice', role: isAlert ? 'alert' : null },
    h('p', { class: 'notice-title' }, errorTitle(code), ' ', h('code', {}, code)),
    h('p', { class: 'notice-message' }, ...rich(sentence(message))),
    ...advice(error).map((line) => h('p', { class: 'notice-hint' }, ...rich(line))));
}

/** Return words as nodes, with code between backticks. @param {string} words */
export function rich(words) {
  return pieces(words).map(({ text, isCode }) => (isCode ? h('code', {}, text) : text));
}
