/**
 * Show JSON indented, with parts that fold. The page loads this module on demand.
 *
 * What is shown are the model's own tokens, with other white space: parsing and printing them would
 * change long numbers and repeated names. So the text of the element, which is what gets copied, is
 * the indented JSON whatever is folded.
 */

import { outline } from '../model/json-outline.js';
import { h } from './element.js';

/** @import { Part } from '../model/json-outline.js' */

/** Of more lines, only the outer two levels are open. */
const MAX_OPEN_LINES = 200;
const OPEN_LEVELS = 2;

/** Indent all JSON in these elements; what is none stays as it is. @param {Element[]} elements */
export function showStructure(elements) {
  for (const element of elements) {
    for (const block of element.querySelectorAll('.tool-call, .code:has(> [data-language="json" i])')) {
      const code = block.querySelector('code');
      const found = code && !code.classList.contains('json') && outline(code.textContent ?? '');
      if (!found) continue;
      code.classList.add('json');
      code.replaceChildren(...lines(found.part, '', '', 0, found.lines > MAX_OPEN_LINES ? OPEN_LEVELS : Infinity));
    }
  }
}

/** @param {Part} part @param {string} key @param {string} comma @param {number} level @param {number} openLevels @returns {HTMLElement[]} */
function lines({ close, members, text }, key, comma, level, openLevels) {
  const name = key ? [h('span', { class: 'code-key' }, key), ': '] : [];
  const indent = '  '.repeat(level);
  if (members.length === 0) {
    const kind = text[0] === '"' ? 'string' : /^[-\d]/.test(text) ? 'number' : 'keyword';
    const value = /^[[{]/.test(text) ? text : h('span', { class: `code-${kind}` }, text);
    return [h('span', { class: 'line' }, indent, ...name, value, `${close}${comma}\n`)];
  }
  const left = `… ${members.length} ${close}${comma}`;
  const inner = members.flatMap((member, index) =>
    lines(member.part, member.key, index < members.length - 1 ? ',' : '', level + 1, openLevels));
  return [
    h('details', { open: level < openLevels },
      // The end of the line is for who copies the text.
      h('summary', { class: 'line', 'data-left': left }, indent, ...name, text, h('span', { hidden: true }, '\n')), ...inner),
    h('span', { class: 'line json-close' }, `${indent}${close}${comma}\n`),
  ];
}
