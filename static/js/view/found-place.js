/** Show where in an open chat something was found: the branch, the answer, the words. */

/** @import { Piece } from '../client/conversations.js' */
/** @import { Turn } from '../model/conversation.js' */
/** @import { Workspace } from '../model/workspace.js' */
/** @import { ChatBoard } from './chat-board.js' */

/** @typedef {{turn: string, answer: string | null, pieces: Piece[]}} Found `answer`: the id of the stored answer. */

/** Text is rendered after its turn is shown; a part of the page may be loaded first. */
const PATIENCE_MS = 10_000;
const NAME = 'found';

/** @type {AbortController | null} */
let waiting = null;

/** No longer show what was found. */
export function clearFound() {
  waiting?.abort();
  CSS.highlights?.delete(NAME);
}

/** @param {Workspace} workspace @param {ChatBoard} board @param {Found} found */
export function showFound({ columns, conversation }, board, { turn: id, answer, pieces }) {
  clearFound();
  const turn = conversation.turns.get(id);
  if (!turn) return;
  if (!conversation.path.includes(turn)) conversation.show(turn);
  const column = answer === null ? null : columnOf(turn, answer);
  if (column !== null && answer !== null) {
    const { answers = [], shown = 0 } = turn.slots.get(column) ?? {};
    conversation.showAnswer(turn, column, answers.findIndex(({ storedIds }) => storedIds.includes(answer)) - shown);
    if (columns.get(column)?.isHidden) columns.change(column, { isHidden: false });
  }
  board.toTurn(turn);
  waiting = new AbortController();
  const { signal } = waiting;
  const look = () => {
    const range = rangesIn(column === null ? [...board.querySelectorAll('turn-strip')] : answersOf(board, turn, column), pieces);
    /** @type {HTMLButtonElement | null} */
    const more = column === null ? board.querySelector('turn-strip .more[aria-expanded=false]:not([hidden])') : null;
    if (range.length === 0) return void more?.click(); // the rest of a long prompt
    waiting?.abort();
    if (CSS.highlights) CSS.highlights.set(NAME, new Highlight(...range));
    // After the column has settled at its end.
    requestAnimationFrame(() => requestAnimationFrame(() => range[0].startContainer.parentElement?.scrollIntoView({ block: 'center', inline: 'nearest' })));
  };
  const observer = new MutationObserver(look);
  observer.observe(board, { subtree: true, childList: true, characterData: true });
  const timer = setTimeout(() => waiting?.abort(), PATIENCE_MS);
  signal.addEventListener('abort', () => {
    observer.disconnect();
    clearTimeout(timer);
  });
  look();
}

/** @param {Turn} turn @param {string} answer */
function columnOf(turn, answer) {
  for (const [column, { answers }] of turn.slots) if (answers.some(({ storedIds }) => storedIds.includes(answer))) return column;
  return null;
}

/** The elements that show a column's answer to this turn. @param {Element} board @param {Turn} turn @param {string} column @returns {Element[]} */
function answersOf(board, turn, column) {
  return [...board.querySelectorAll('answer-turn')].filter((element) => {
    const { turn: shown } = /** @type {Element & {turn?: Turn}} */ (element);
    const { column: own } = /** @type {Element & {column?: {id: string}}} */ (element.closest('answer-column') ?? element);
    return shown === turn && own?.id === column;
  });
}

/** Where the words stand: after what stands before them, if that is there as it was found. @param {Element[]} places @param {Piece[]} pieces @returns {Range[]} */
function rangesIn(places, pieces) {
  const line = pieces.map(({ text }) => text).join('').replace(/^…|…$/g, '').trim();
  const hits = pieces.filter(({ hit }) => hit).map(({ text }) => text);
  for (const place of places) {
    const { nodes, text } = textOf(place);
    const whole = spaced(line).exec(text);
    let at = whole?.index ?? 0;
    /** @type {Range[]} */
    const ranges = [];
    for (const hit of hits) {
      const pattern = spaced(hit);
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (!found) continue;
      at = found.index + found[0].length;
      ranges.push(range(nodes, found.index, at));
    }
    if (ranges.length > 0) return ranges;
  }
  return [];
}

/** Words with whatever space between: cells of a table have none. @param {string} words */
function spaced(words) {
  return new RegExp(words.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&').replace(/\s+/g, '\\s*'), 'g');
}

/** @param {Element} place */
function textOf(place) {
  const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
  /** @type {{node: Text, start: number}[]} */
  const nodes = [];
  let text = '';
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    nodes.push({ node: /** @type {Text} */ (node), start: text.length });
    text += node.textContent;
  }
  return { nodes, text };
}

/** @param {{node: Text, start: number}[]} nodes @param {number} start @param {number} end */
function range(nodes, start, end) {
  const at = (/** @type {number} */ place) => /** @type {{node: Text, start: number}} */ (nodes.filter((one) => one.start <= place).at(-1));
  const [first, last] = [at(start), at(end - 1)];
  const made = new Range();
  made.setStart(first.node, start - first.start);
  made.setEnd(last.node, end - last.start);
  return made;
}
