/** An error as the page shows it: what happened, the cause, what to do. */

import { h } from './element.js';
import { errorTitle, sentence } from './words.js';

/**
 * @param {{code: string, message: string, hint?: string | null}} error
 * @param {{isAlert?: boolean}} [options] `isAlert`: read it aloud at once.
 */
export function notice({ code, message, hint }, { isAlert = false } = {}) {
  return h('div', { class: 'notice', role: isAlert ? 'alert' : null },
    h('p', { class: 'notice-title' }, errorTitle(code), ' ', h('code', {}, code)),
    h('p', { class: 'notice-message' }, sentence(message)),
    ...(hint ? [h('p', { class: 'notice-hint' }, sentence(hint))] : []));
}
