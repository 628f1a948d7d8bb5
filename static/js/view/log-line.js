/**
 * A log line as people read it. No DOM.
 *
 * TGI and our own engine write each line as a JSON object. The message comes first, other fields
 * follow it.
 */

const COLOURS = /\x1b\[[\d;]*[A-Za-z]/g;
const LEVELS = ['error', 'warn'];

/**
 * @param {string} text
 * @returns {{level: string | null, text: string}} `level`: only of warnings and errors.
 */
export function readable(text) {
  const plain = text.replace(COLOURS, '').trimEnd();
  const entry = object(plain);
  const said = entry?.fields?.message ?? entry?.message;
  if (typeof said !== 'string') return { level: null, text: plain };
  const level = String(entry.level ?? '').toLowerCase();
  const more = Object.entries(entry.fields ?? {})
    .filter(([name, value]) => name !== 'message' && typeof value !== 'object')
    .map(([name, value]) => `${name}=${value}`);
  return { level: LEVELS.find((known) => level.startsWith(known)) ?? null, text: [said.trimEnd(), ...more].join('  ') };
}

/** Tells lines that are written while the server is stopped on purpose: what it complains of then is no error. */
export class Endings {
  #isEnding = false;

  /** Take the next line; whether the server is being stopped, or has been. @param {{stream: string, text: string}} line */
  take({ stream, text }) {
    if (stream === 'sidestream') this.#isEnding = /^stopp/.test(text);
    return this.#isEnding;
  }
}

/** @param {string} text @returns {any} */
function object(text) {
  if (!text.startsWith('{')) return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return null; // not JSON after all
    throw error;
  }
}
