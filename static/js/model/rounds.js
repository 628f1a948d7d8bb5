/**
 * Blind rounds: hidden names and shuffled columns. No DOM.
 *
 * A round begins with the first blind prompt, without a history, and ends with the vote or when the
 * names are revealed; prompts in between belong to the same round. Votes are in `votes.js`.
 */

/** @typedef {{kind: 'best' | 'tie' | 'bad', best: string | null}} Vote `best`: the column voted for. */

/** The name of a column in a blind round. @param {number} index */
export function letter(index) {
  return String.fromCharCode(65 + index);
}

/** @template T @param {T[]} list @param {() => number} random */
export function shuffled(list, random = Math.random) {
  const copy = [...list];
  for (let last = copy.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [copy[last], copy[other]] = [copy[other], copy[last]];
  }
  return copy;
}
