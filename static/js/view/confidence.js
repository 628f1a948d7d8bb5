/**
 * How confident a model was in each token, as text and in steps. No DOM.
 *
 * A `logprob` is the natural logarithm of the probability that the model gave the token.
 */

/** @import { Token } from '../client/protocol.js' */

/** @typedef {{text: string, logprob: number | null, isChosen: boolean}} Choice */

/** The lowest probability of each step but the last; below all of them is a guess. */
export const STEPS = [0.9, 0.7, 0.4, 0.15];
/** From this step on a token counts as unsure. */
export const UNSURE = 3;

/** Return the step from 0, sure, to 4, a guess; null if the server did not say. @param {number | null} logprob */
export function step(logprob) {
  if (logprob === null) return null;
  const found = STEPS.findIndex((least) => Math.exp(logprob) >= least);
  return found < 0 ? STEPS.length : found;
}

/** @param {number | null} logprob */
export function probability(logprob) {
  if (logprob === null) return 'not told';
  const share = Math.exp(logprob) * 100;
  if (share > 99.9) return '> 99.9 %';
  if (share < 0.1) return '< 0.1 %';
  return `${share >= 10 && share < 99 ? share.toFixed(0) : share.toFixed(1)} %`;
}

/** Make white space visible. @param {string} text */
export function visible(text) {
  if (text === '') return '(no text)';
  const shown = text.replaceAll('\n', '↵').replaceAll('\t', '⇥').replaceAll('\r', '␍');
  return shown.replace(/^ +| +$/g, (spaces) => '␣'.repeat(spaces.length));
}

/**
 * The candidates for one token, the likeliest first, with the one that was sampled.
 *
 * @param {Token} token
 * @returns {Choice[]}
 */
export function choices({ id, text, logprob, top }) {
  // Most servers tell no ids, some tell that of the chosen one only; without one it is -1.
  const isChosen = (/** @type {{id: number, text: string}} */ other) => (id < 0 || other.id < 0 ? other.text === text : other.id === id);
  const others = (top ?? []).filter((other) => !isChosen(other));
  const all = [{ text, logprob, isChosen: true }, ...others.map((other) => ({ ...other, isChosen: false }))];
  return all
    .map(({ text: words, logprob: likelihood, isChosen }) => ({ text: words, logprob: likelihood, isChosen }))
    .sort((a, b) => (b.logprob ?? -Infinity) - (a.logprob ?? -Infinity));
}

/** Whether the server told of any token how likely it was. @param {Token[]} tokens */
export function isTold(tokens) {
  return tokens.some(({ logprob }) => logprob !== null);
}

/** Summarise the confidence in one line. @param {Token[]} tokens */
export function summary(tokens) {
  const told = tokens.flatMap(({ logprob }) => (logprob === null ? [] : [logprob]));
  if (!isTold(tokens)) return 'The server does not tell how sure this model was.';
  const mean = told.reduce((sum, logprob) => sum + logprob, 0) / told.length;
  const unsure = told.filter((logprob) => (step(logprob) ?? 0) >= UNSURE).length;
  const percent = `${STEPS[UNSURE - 1] * 100} %`;
  const count = unsure === 0 ? 'none' : `${unsure.toLocaleString('en')} of ${told.length.toLocaleString('en')}`;
  // Tokens that are all as likely as the geometric mean make a text as likely as this one.
  return `As if ${probability(mean)} sure of every token; ${count} below ${percent}`;
}
