/**
 * A log line as people read it. No DOM.
 *
 * TGI, and our own engine, write each line as a JSON object: level, fields, and where in the code it
 * was. What is said is in it; all else goes behind, short.
 */

const COLOURS = /\x1b\[[\d;]*[A-Za-z]/g;
const LEVELS = ['error', 'warn'];

/**
 * @param {string} text
 * @returns {{level: string | null, words: string}} `level`: only where it is worth a look.
 */
export function readable(text) {
  const plain = text.replace(COLOURS, '').trimEnd();
  const entry = object(plain);
  const said = entry?.fields?.message ?? entry?.message;
  if (typeof said !== 'string') return { level: null, words: plain };
  const level = String(entry.level ?? '').toLowerCase();
  const more = Object.entries(entry.fields ?? {})
    .filter(([name, value]) => name !== 'message' && typeof value !== 'object')
    .map(([name, value]) => `${name}=${value}`);
  return { level: LEVELS.find((known) => level.startsWith(known)) ?? null, words: [said.trimEnd(), ...more].join('  ') };
}

/** @param {string} text @returns {any} */
function object(text) {
  if (!text.startsWith('{')) return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null; // it only looks like it
    throw error;
  }
}
