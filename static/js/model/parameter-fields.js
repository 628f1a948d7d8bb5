/**
 * The fields of the parameters: ranges, parsing of input, and what an empty field means. No DOM.
 *
 * The page loads this module on demand.
 */

import { LABELS, held } from './parameters.js';

/** @import { Model, Parameters } from '../client/protocol.js' */
/** @import { Held } from './parameters.js' */

/**
 * @typedef {object} Field
 * @property {string} name As the protocol calls it.
 * @property {string} label
 * @property {string} help What it does, in plain words.
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step] 1 means whole numbers.
 * @property {[least: number, most: number]} [slide] What a slider offers: the values in use.
 * @property {string[]} [words] What it may be besides a number.
 */

/** @type {Omit<Field, 'label'>[]} */
const BARE = [
  { name: 'temperature', help: 'How much chance there is in the choice of words; 0 takes the likeliest each time', min: 0, max: 5, step: 0.05, slide: [0, 2] },
  { name: 'max_new_tokens', help: 'How long the answer may become', min: 1, max: 4294967295, step: 1, slide: [1, 8192] },
  { name: 'top_p', help: 'Only the likeliest words that have this share together; 1 is off', min: 0.01, max: 1, step: 0.01, slide: [0.01, 1] },
  { name: 'top_k', help: 'Only so many of the likeliest words; 0 is off', min: 0, max: 2147483647, step: 1, slide: [0, 200] },
  { name: 'min_p', help: 'Only words at least so likely, compared with the likeliest; 0 is off', min: 0, max: 1, step: 0.01, slide: [0, 1] },
  { name: 'repetition_penalty', help: 'Above 1, words that were used become less likely; 1 is off', min: 0.1, max: 10, step: 0.05, slide: [0.5, 2] },
  { name: 'presence_penalty', help: 'Above 0, new subjects become more likely; 0 is off', min: -2, max: 2, step: 0.1, slide: [-2, 2] },
  { name: 'reasoning', help: 'off, low, medium, high, or the most tokens to think with', min: 1, max: 10000000, step: 1, words: ['off', 'low', 'medium', 'high'] },
  { name: 'seed', help: 'The same seed and the same prompt give the same answer', min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 },
  { name: 'stop', help: 'The answer ends before any of these texts: up to four, one a line' },
];

/** @type {Field[]} */
export const FIELDS = BARE.map((field) => ({ ...field, label: LABELS[field.name] }));

const MAX_STOPS = 4;
/** A limit that nobody comes near by intent is no help. */
const MAX_TOLD = 1000;

/** Parse the input of a field; null if it is empty. Throws a RangeError that says what is wrong. @param {Field} field @param {string} text @returns {unknown} */
export function read({ min, max, step, words }, text) {
  if (min === undefined || max === undefined) {
    const stops = text.split('\n').filter(Boolean).map((line) => line.replaceAll('\\n', '\n'));
    if (stops.length > MAX_STOPS) throw new RangeError(`At most ${MAX_STOPS} lines, and here are ${stops.length}.`);
    return stops.length > 0 ? stops : null;
  }
  const trimmed = text.trim().replace(',', '.');
  if (trimmed === '') return null;
  const value = Number(trimmed);
  const word = trimmed.toLowerCase();
  if (words?.includes(word)) return word;
  const range = max > MAX_TOLD ? `of at least ${min}` : `from ${min} to ${max}`;
  if (Number.isNaN(value)) throw new RangeError(words ? `Expected ${words.join(', ')}, or a number.` : `Expected a number ${range}.`);
  if (value > max && max > MAX_TOLD) throw new RangeError('Expected a smaller number.');
  if (value < min || value > max) throw new RangeError(`Expected a number ${range}.`);
  if (step === 1 && !Number.isInteger(value)) throw new RangeError('Expected a whole number.');
  return value;
}

/** Format a value as input. @param {unknown} value */
export function write(value) {
  if (value == null) return '';
  return Array.isArray(value) ? value.map((one) => String(one).replaceAll('\n', '\\n')).join('\n') : String(value);
}

/**
 * Say what an empty field means: the value in force and whose it is, of all the models that are asked.
 *
 * @param {string} name @param {Parameters} common What is set for all columns. @param {Model[]} models
 * @returns {{text: string, value: unknown}} `value`: the one that holds for all of them, else null.
 */
export function inForce(name, common, models) {
  if (common[name] != null) return { text: `${shown(common[name])}, set for all columns`, value: common[name] };
  const all = models.map((model) => held(name, model));
  const [first] = all;
  if (!first) return { text: models.length > 1 && all.some(Boolean) ? 'differs by model' : 'the server’s default', value: null };
  const same = (/** @type {keyof Held} */ key) => all.every((one) => one && write(one[key]) === write(first[key]));
  if (same('value')) return { text: same('whose') ? `${shown(first.value)}, ${first.whose}` : shown(first.value), value: first.value };
  const numbers = all.map((one) => one?.value).filter((value) => typeof value === 'number');
  const isRange = numbers.length === all.length;
  return { text: isRange ? `${Math.min(...numbers)} to ${Math.max(...numbers)}, by model` : 'differs by model', value: null };
}

/** @param {unknown} value */
function shown(value) {
  return write(value).replaceAll('\n', ' · ');
}
