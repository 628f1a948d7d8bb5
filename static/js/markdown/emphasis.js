/**
 * Emphasis, strong emphasis and strikethrough: which runs of `*`, `_` and `~~` belong together.
 *
 * CommonMark's rules, and two more for what models write: beside a Chinese, Japanese or Korean
 * character no space is needed, and its own punctuation is like its letters (`**注意：**请`); `**`
 * behind punctuation may close before a letter, too (`**Note:**the`). Closers are processed from left to right and look back for their opener, so the
 * result so far never depends on later text. Each kind of closer without an opener remembers how far
 * it looked, which makes the whole linear. Two limits bound what may still change: a pair is at most
 * `REACH` characters apart, and a run of more than `LONGEST_RUN` is text.
 */

/** How far apart, in characters, the two ends of something may be. Longer than a long paragraph. */
export const REACH = 1000;
/** More than anybody means; it also bounds how deep one run can nest. */
export const LONGEST_RUN = 16;

/** @typedef {{tag: string, to?: string, title?: string}} Opening A link without `to` is one being written. */

/**
 * A piece of the line: first `closes` elements end, then its text, then `opens` begin.
 *
 * @typedef {object} Item
 * @property {number} at Where it begins in the source.
 * @property {string} text
 * @property {Opening[]} opens
 * @property {number} closes
 * @property {boolean} isPending Whether what comes next can change it.
 */

/** @typedef {Item & {length: number, canOpen: boolean, canClose: boolean}} Delimiter */

const SPACE_BEFORE = /(?:^|\s)$/u;
const SPACE_AFTER = /^(?:\s|$)/u;
const CJK = String.raw`[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}\p{scx=Bopo}\u3000-\u303f\uff01-\uffee]`;
const CJK_BEFORE = new RegExp(`${CJK}$`, 'u');
const CJK_AFTER = new RegExp(`^${CJK}`, 'u');
const MARK_BEFORE = new RegExp(String.raw`(?!${CJK})[\p{P}\p{S}]$`, 'u');
const MARK_AFTER = new RegExp(String.raw`^(?!${CJK})[\p{P}\p{S}]`, 'u');
const ENDING_BEFORE = /[.,:;!?…)\]}"'”’»]$/u;
const LETTER_AFTER = /^[\p{L}\p{N}]/u;

/**
 * Say whether a run can open or close, by what is on either side of it.
 *
 * @param {string} sign @param {number} length @param {string} before The end of what is before it. @param {string} after
 */
export function flanks(sign, length, before, after) {
  const [spaceBefore, spaceAfter] = [SPACE_BEFORE.test(before), SPACE_AFTER.test(after)];
  const [markBefore, markAfter] = [MARK_BEFORE.test(before), MARK_AFTER.test(after)];
  const [besideBefore, besideAfter] = [spaceBefore || markBefore, spaceAfter || markAfter];
  const isLeft = !spaceAfter && (!markAfter || besideBefore || (sign !== '_' && CJK_BEFORE.test(before)));
  const isRight = !spaceBefore && (!markBefore || besideAfter || (sign !== '_' && CJK_AFTER.test(after)));
  const isEnding = sign === '*' && length > 1 && ENDING_BEFORE.test(before) && LETTER_AFTER.test(after);
  if (sign !== '_') return { canOpen: isLeft, canClose: isRight || isEnding };
  return { canOpen: isLeft && (!isRight || markBefore), canClose: isRight && (!isLeft || markAfter) };
}

/**
 * Join what belongs together; return the runs that may still open something.
 *
 * @param {Delimiter[]} delimiters
 * @returns {Delimiter[]}
 */
export function pair(delimiters) {
  /** @type {Delimiter[]} */
  const openers = [];
  /** @type {Map<string, number>} */
  const searched = new Map();
  for (const closer of delimiters) {
    while (closer.canClose && closer.text) {
      const kind = closer.text[0] + (closer.canOpen ? '+' : '-') + closer.length % 3;
      const floor = Math.max(searched.get(kind) ?? 0, closer.at - REACH);
      let index = openers.length - 1;
      while (index >= 0 && openers[index].at >= floor && !fit(openers[index], closer)) index -= 1;
      if (index < 0 || openers[index].at < floor) {
        searched.set(kind, closer.at);
        break;
      }
      openers.length = index + 1;
      join(openers[index], closer);
      if (!openers[index].text) openers.length = index;
    }
    if (closer.canOpen && closer.text) openers.push(closer);
  }
  return openers;
}

/** Begin at once what is likely to be closed later. @param {Delimiter} opener */
export function beginEarly(opener) {
  while (opener.text) opener.opens.unshift(take(opener));
}

/** @param {Delimiter} opener @param {Delimiter} closer */
function fit(opener, closer) {
  if (opener.text[0] !== closer.text[0]) return false;
  if (!opener.canClose && !closer.canOpen) return true;
  return (opener.length + closer.length) % 3 !== 0 || (opener.length % 3 === 0 && closer.length % 3 === 0);
}

/** @param {Delimiter} opener @param {Delimiter} closer */
function join(opener, closer) {
  const count = Math.min(opener.text.length, closer.text.length, 2);
  opener.opens.unshift(take(opener, count));
  closer.text = closer.text.slice(count);
  closer.closes += 1;
}

/** @param {Delimiter} opener @param {number} [count] @returns {Opening} */
function take(opener, count = Math.min(opener.text.length, 2)) {
  const tag = opener.text[0] === '~' ? 'del' : count === 2 ? 'strong' : 'em';
  opener.text = opener.text.slice(count);
  return { tag };
}
