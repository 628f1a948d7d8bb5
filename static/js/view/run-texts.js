/**
 * What was asked in a run, and answers that are complete, as the screens of a run write them.
 *
 * What renders Markdown is taken from the file that the page has loaded for its own answers.
 */

import { h } from './element.js';
import { capital } from './labels.js';
import { turnViews } from './turn-views.js';

/** @import { AskedPrompt } from '../client/runs.js' */

/** What was asked, and which answer was hoped for. @param {AskedPrompt['messages']} messages @param {string | null} [expected] */
export function askedLines(messages, expected = null) {
  return [
    ...messages.map(({ role, content }) => h('p', { dir: 'auto', class: 'run-message' }, ...(role === 'user' ? [] : [h('bdi', {}, h('b', {}, `${capital(role)}: `))]), wordsOf(content))),
    ...(expected === null ? [] : [h('p', { class: 'field-hint' }, 'Expected: ', h('span', { dir: 'auto' }, expected))]),
  ];
}

/** Write an answer, whole. @param {HTMLElement} element @param {string} text */
export function write(element, text) {
  const writer = new turnViews.MarkdownWriter(element);
  writer.append(text);
  writer.end();
}

/** @param {AskedPrompt['messages'][number]['content']} content */
function wordsOf(content) {
  return typeof content === 'string' ? content : content.map(({ text }) => text ?? '').join('\n');
}
