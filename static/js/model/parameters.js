/**
 * The generation parameters that the page offers: their ranges, reading what was typed, and
 * telling where a column differs. No DOM. An empty field leaves the matter to the model.
 */

/** @import { Parameters } from '../client/protocol.js' */

/**
 * @typedef {object} Field
 * @property {string} name As the protocol calls it.
 * @property {string} label
 * @property {string} hint
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step] 1 means whole numbers.
 */

/** @type {Field[]} */
export const FIELDS = [
  { name: 'temperature', label: 'Temperature', hint: '0 takes the likeliest word', min: 0, max: 5, step: 0.1 },
  { name: 'top_p', label: 'Top-p', hint: '1 is off', min: 0.01, max: 1, step: 0.01 },
  { name: 'top_k', label: 'Top-k', hint: '0 is off', min: 0, max: 2147483647, step: 1 },
  { name: 'min_p', label: 'Min-p', hint: '0 is off', min: 0, max: 1, step: 0.01 },
  { name: 'max_new_tokens', label: 'Longest answer', hint: 'in tokens', min: 1, max: 4294967295, step: 1 },
  { name: 'repetition_penalty', label: 'Repetition penalty', hint: '1 is off', min: 0.1, max: 10, step: 0.05 },
  { name: 'presence_penalty', label: 'Presence penalty', hint: '0 is off', min: -2, max: 2, step: 0.1 },
  { name: 'seed', label: 'Seed', hint: 'the same seed, the same answer', min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
  { name: 'stop', label: 'Stop at', hint: 'up to four texts, one a line' },
];

const MAX_STOPS = 4;

/** Read what was typed; null if nothing was; a RangeError says what is wrong. @param {Field} field @param {string} text @returns {unknown} */
export function read({ label, min, max, step }, text) {
  if (min === undefined || max === undefined) {
    const stops = text.split('\n').filter(Boolean).map((line) => line.replaceAll('\\n', '\n'));
    if (stops.length > MAX_STOPS) throw new RangeError(`${label}: at most ${MAX_STOPS} lines`);
    return stops.length > 0 ? stops : null;
  }
  const trimmed = text.trim().replace(',', '.');
  if (trimmed === '') return null;
  const value = Number(trimmed);
  if (!Number.isFinite(value) || value < min || value > max) throw new RangeError(`${label}: from ${min} to ${max}`);
  if (step === 1 && !Number.isInteger(value)) throw new RangeError(`${label}: a whole number`);
  return value;
}

/** Write a value as it is typed. @param {unknown} value */
export function write(value) {
  if (value == null) return '';
  return Array.isArray(value) ? value.map((one) => String(one).replaceAll('\n', '\\n')).join('\n') : String(value);
}

/** Leave out what is not set. @param {Parameters} parameters @returns {Parameters} */
export function tidy(parameters) {
  return Object.fromEntries(Object.entries(parameters).filter(([, value]) => value != null));
}

/** Leave out what the page does not offer: the server keeps more of an answer. @param {Parameters} parameters @returns {Parameters} */
export function offered(parameters) {
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => FIELDS.some((field) => field.name === name)));
}

/** Say parameters in a line: "Temperature 0.2 · Seed 7". @param {Parameters} parameters */
export function describe(parameters) {
  return Object.entries(parameters).map(([name, value]) => {
    const label = FIELDS.find((field) => field.name === name)?.label ?? name;
    return `${label} ${Array.isArray(value) ? value.map((one) => JSON.stringify(one)).join(' ') : value}`;
  }).join(' · ');
}
