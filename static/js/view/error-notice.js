/**
 * An error as the page shows it: what happened, the cause, what to do.
 *
 * Text between backticks becomes code, made of nodes and never of markup.
 */

import { h } from './element.js';
import { advice, errorTitle, pieces, sentence } from './labels.js';

/** @import { WireError } from '../client/protocol.js' */

/**
 * @param {WireError} error
 * @param {{isAlert?: boolean}} [options] `isAlert`: read it aloud at once.
 */
export function errorNotice(error, { isAlert = false } = {}) {
  const { code, message } = error;
  return h('div', { class: 'notice', role: isAlert ? 'alert' : null },
    h('p', { class: 'notice-title', title: code }, errorTitle(code)),
    h('p', { class: 'notice-message' }, ...withCode(sentence(message))),
    ...advice(error).map((line) => h('p', { class: 'notice-hint' }, ...withCode(line))));
}

/** Return nodes for a text, with code for what is between backticks. @param {string} words */
export function withCode(words) {
  return pieces(words).map(({ text, isCode }) => (isCode ? h('code', {}, text) : text));
}
