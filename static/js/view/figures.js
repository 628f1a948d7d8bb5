/** How figures are written. No DOM. */

const MINUTE_MS = 60_000;

/** @param {number} ms */
export function duration(ms) {
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < MINUTE_MS - 50) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** @param {number} tokensPerSecond */
export function rate(tokensPerSecond) {
  return `${tokensPerSecond.toFixed(tokensPerSecond < 99.95 ? 1 : 0)} /s`;
}

/** @param {number} seconds */
export function timeLeft(seconds) {
  if (seconds < 1) return 'a moment left';
  if (seconds < 90) return `${Math.round(seconds)} s left`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min left`;
  return `${Math.round(seconds / 3600)} h left`;
}

/** @param {number} fraction */
export function percent(fraction) {
  return `${Math.floor(fraction * 100)} %`;
}

/** @param {number} count */
export function tokens(count) {
  return `${count.toLocaleString('en')} ${count === 1 ? 'token' : 'tokens'}`;
}
