/** Under which day a list files something, and which time it shows. No DOM. */

const DAY_MS = 86_400_000;
const MONTH = new Intl.DateTimeFormat('en', { month: 'long', year: 'numeric' });
const WEEKDAY = new Intl.DateTimeFormat('en', { weekday: 'short' });
const DATE = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' });
const WHOLE = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });

/** How many midnights lie between. @param {Date} then @param {Date} now */
function daysBetween(then, now) {
  // Days are not all equally long.
  const midnight = (/** @type {Date} */ at) => Date.UTC(at.getFullYear(), at.getMonth(), at.getDate());
  return (midnight(now) - midnight(then)) / DAY_MS;
}

/** The heading for a time: "Today", "Last 7 days", "July 2026". @param {number} seconds Since 1970. @param {Date} now */
export function dayOf(seconds, now) {
  const then = new Date(seconds * 1000);
  const days = daysBetween(then, now);
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  return days <= 7 ? 'Last 7 days' : MONTH.format(then);
}

/** A time in as few signs as its day leaves: "14:05", "Tue", "12 Jul". @param {number} seconds Since 1970. @param {Date} now */
export function timeOf(seconds, now) {
  const then = new Date(seconds * 1000);
  const days = daysBetween(then, now);
  return (days <= 1 ? TIME : days <= 7 ? WEEKDAY : DATE).format(then);
}

/** A time in full. @param {number} seconds Since 1970. */
export function wholeTime(seconds) {
  return WHOLE.format(new Date(seconds * 1000));
}
