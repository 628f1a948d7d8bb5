/** What is wrong with prompts: all places that the server found, each with its line and column. */

import { problemWords } from '../model/run-table.js';
import { h } from './element.js';
import { withCode } from './error-notice.js';
import { errorText, sentence } from './labels.js';

/** @param {{message: string, hint?: string | null, details?: any}} error */
export function problemList({ message, hint = null, details }) {
  const problems = details?.problems;
  const words = Array.isArray(problems) && problems.length ? problems.map(problemWords) : [errorText({ message, hint })];
  return h('ul', { class: 'notice run-problems' }, ...words.map((one) => h('li', {}, ...withCode(sentence(one)))));
}
