/** The structure of a JSON text, made of the text's own tokens. No DOM. */

import { isStructure } from './structured.js';

const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/gs;
/** Longer or deeper, it is shown as it is. */
const MAX_CHARS = 200_000;
const MAX_DEPTH = 50;

/**
 * @typedef {object} Part A value.
 * @property {string} text As it is written; of a list or an object, what opens it.
 * @property {string} close What closes it, if something does.
 * @property {{key: string, part: Part}[]} members The key is empty in a list.
 */

/** Return the outline of a list or an object and its number of lines; null if the text is none. @param {string} text @returns {{part: Part, lines: number} | null} */
export function outline(text) {
  if (text.length > MAX_CHARS || !isStructure(text)) return null;
  const root = part('');
  const open = [root];
  let [key, lines] = ['', 0];
  for (const [token] of text.matchAll(TOKEN)) {
    const last = open[open.length - 1];
    if (token === ':') {
      key = last.members.pop()?.part.text ?? '';
      lines -= 1;
    } else if (token === ']' || token === '}') {
      last.close = token;
      open.pop();
      if (last.members.length > 0) lines += 1;
    } else if (token !== ',') {
      const value = part(token);
      last.members.push({ key, part: value });
      key = '';
      lines += 1;
      if (token === '[' || token === '{') open.push(value);
      if (open.length > MAX_DEPTH) return null;
    }
  }
  return { part: root.members[0].part, lines };
}

/** @param {string} text @returns {Part} */
function part(text) {
  return { text, close: '', members: [] };
}
