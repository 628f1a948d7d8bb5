/**
 * What tells names apart: so that it stays in sight where a name is cut. No DOM.
 *
 * A name is divided into what it begins with, what tells it from the most similar other name, and the
 * rest. Words stay whole, so that it is "8B" and "70B" and not "8" and "70".
 */

const WORD = /[^\s\-_/·:.()]+|[\s\-_/·:.()]+/g;
/** What stays of a name that is like no other: models differ in their endings. */
const END_WORDS = 1;

/** @param {string} name @param {string[]} others @returns {[string, string, string]} Joined they are the name. */
export function nameParts(name, others) {
  const words = wordsOf(name);
  let [first, last] = [Math.max(1, words.length - END_WORDS), words.length];
  let most = 0;
  for (const other of others.map(wordsOf)) {
    const before = common(words, other);
    if (before <= most || before === words.length) continue;
    most = before;
    const after = common([...words.slice(before)].reverse(), [...other.slice(before)].reverse());
    [first, last] = [before, words.length - after];
  }
  if (first >= last) last = words.length;
  return [words.slice(0, first).join(''), words.slice(first, last).join(''), words.slice(last).join('')];
}

/** @param {string} name */
function wordsOf(name) {
  return name.match(WORD) ?? [name];
}

/** How many words two lists have in common at their beginnings. @param {string[]} a @param {string[]} b */
function common(a, b) {
  const end = a.findIndex((word, index) => word !== b[index]);
  return end < 0 ? a.length : end;
}
