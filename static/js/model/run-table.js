/**
 * What the views of a run say and which rows they need. No DOM.
 *
 * A slot is what stands where a prompt meets a target: one cell, or several where the prompt is repeated.
 */

/** @import { Cell, Run, RunTarget, Target } from '../client/runs.js' */
/** @import { Workspace } from './workspace.js' */

/** @typedef {'passed' | 'failed' | 'unsure' | 'none' | 'asking' | 'waiting'} Mark */
/** @typedef {{mark: Mark, words: string, text: string, code: string, reason: string, ms: number | null}} Slot */

/** @type {Record<Run['state'], string>} */
const STATES = { running: 'Running', paused: 'Paused', done: 'Done', incomplete: 'Incomplete', cancelled: 'Cancelled' };
/** @type {Record<Mark, string>} */
const MARKS = { passed: 'Passed', failed: 'Failed', unsure: 'Cannot be told', none: 'Answered', asking: 'Being asked', waiting: 'Waiting' };

/** @param {Pick<Run, 'state'>} run */
export function stateWords({ state }) {
  return STATES[state];
}

/** How far it is: "12 of 40 answers". @param {Pick<Run, 'answered' | 'total'>} run */
export function progressWords({ answered, total }) {
  const count = total.toLocaleString('en');
  if (answered === total) return `${count} ${total === 1 ? 'answer' : 'answers'}`;
  return `${answered.toLocaleString('en')} of ${count} answers`;
}

/** How many passed: "7 of 10 passed", empty if nothing was checked. @param {{passed: number, checked: number}[]} targets */
export function passedWords(targets) {
  const [passed, checked] = targets.reduce(([p, c], target) => [p + target.passed, c + target.checked], [0, 0]);
  return checked ? `${passed.toLocaleString('en')} of ${checked.toLocaleString('en')} passed` : '';
}

/** How a run is: "Running · 12 of 40 answers · 7 of 10 passed". @param {Run} run */
export function runWords(run) {
  return [stateWords(run), progressWords(run), passedWords(run.targets)].filter(Boolean).join(' · ');
}

/** What targets are called: numbered where two are alike, as the server does. @param {Pick<Target, 'name' | 'model'>[]} targets @param {(model: string) => string} [nameOf] */
export function targetNames(targets, nameOf = (model) => model) {
  /** @type {string[]} */
  const names = [];
  for (const target of targets) {
    const plain = target.name || nameOf(target.model);
    let name = plain;
    for (let number = 2; names.includes(name); number += 1) name = `${plain} (${number})`;
    names.push(name);
  }
  return names;
}

/** The columns that a prompt would ask, as targets. @param {Workspace} workspace @returns {Target[]} */
export function targetsOf(workspace) {
  if (workspace.isSecret) return []; // they would tell the names
  const { columns, settings } = workspace;
  return columns.asked.map((column) => ({
    model: column.model,
    parameters: { ...settings.parameters, ...column.parameters },
    system: column.system ?? (settings.system || null),
    name: workspace.label(column),
  }));
}

/** The columns' targets that a run does not ask yet. @param {Workspace} workspace @param {Target[]} known */
export function newTargets(workspace, known) {
  const key = (/** @type {Target} */ { model, parameters, system }) => JSON.stringify([model, Object.entries(parameters).sort(([one], [other]) => (one < other ? -1 : 1)), system]);
  const keys = new Set(known.map(key));
  return targetsOf(workspace).filter((target) => !keys.has(key(target)));
}

/** The prompts of a pasted text: a line each, without empty ones. @param {string} text */
export function promptLines(text) {
  return text.split(/\r\n|\r|\n/).filter((line) => line.trim());
}

/** Put the cells of a row where they belong: a slot for each target. @param {Cell[]} cells @param {number} targets @param {boolean} [isOver] Nothing more is asked. @returns {Slot[]} */
export function slots(cells, targets, isOver = false) {
  return Array.from({ length: targets }, (_, index) => slot(cells.filter(({ target }) => target === index), isOver));
}

/** Whether a run asks nothing more by itself. @param {Pick<Run, 'state'>} run */
export function isOver({ state }) {
  return state !== 'running' && state !== 'paused';
}

/** @param {Cell[]} cells @param {boolean} isOver @returns {Slot} */
function slot(cells, isOver) {
  const done = cells.filter(({ state }) => state === 'done');
  const shown = done.find(({ passed, code }) => passed === false || code) ?? done[0] ?? cells.find(({ state }) => state === 'asking');
  const mark = markOf(cells);
  const times = done.map(({ total_ms: ms }) => ms).filter((ms) => ms != null);
  return {
    mark,
    words: isOver && mark === 'waiting' && cells.length < 2 ? 'Not asked' : countWords(cells, mark),
    text: shown?.text ?? '',
    code: shown?.code ?? '',
    reason: shown?.reason ?? '',
    ms: times.length ? times.reduce((sum, ms) => sum + ms, 0) / times.length : null,
  };
}

/** @param {Cell[]} cells @param {Mark} mark */
function countWords(cells, mark) {
  if (cells.length < 2) return MARKS[mark];
  const checked = cells.filter(({ passed }) => passed !== undefined);
  if (checked.length) return `${checked.filter(({ passed }) => passed).length} of ${cells.length} passed`;
  return `${cells.filter(({ state }) => state === 'done').length} of ${cells.length} answered`;
}

/** @param {Cell[]} cells @returns {Mark} */
function markOf(cells) {
  if (cells.some(({ state }) => state === 'asking')) return 'asking';
  if (cells.length === 0 || cells.some(({ state }) => state === 'waiting')) return 'waiting';
  if (cells.some(({ passed, finish_reason: reason }) => passed === false || reason === 'failed')) return 'failed';
  if (cells.every(({ passed }) => passed)) return 'passed';
  return cells.every(({ passed }) => passed === undefined) ? 'none' : 'unsure';
}

/** The header of a target: how far it is, and how many passed. @param {RunTarget} target @param {Run} run */
export function targetWords(target, { prompts, repeats }) {
  return [
    `${target.answered.toLocaleString('en')} of ${(prompts * repeats).toLocaleString('en')}`,
    passedWords([target]),
    target.failed ? `${target.failed.toLocaleString('en')} failed` : '',
  ].filter(Boolean).join(' · ');
}

/** The rows in view, and some before and behind. @param {{top: number, height: number, rowHeight: number, total: number, more: number}} view @returns {[number, number]} The first, and the one behind the last. */
export function rowsInView({ top, height, rowHeight, total, more }) {
  const first = Math.max(0, Math.floor(top / rowHeight) - more);
  return [Math.min(first, total), Math.min(total, Math.ceil((top + height) / rowHeight) + more)];
}

/** A wrong place of a file in words: "Line 3, column `checks`: …". @param {{message: string, row: number | null, column: string | null}} problem */
export function problemWords({ message, row, column }) {
  const place = [row === null ? '' : `line ${row}`, column === null ? '' : `column \`${column}\``].filter(Boolean).join(', ');
  return place ? `${place}: ${message}` : message;
}
