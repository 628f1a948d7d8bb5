/** The items of a column's menu. No DOM. */

/** @import { Column } from '../model/columns.js' */
/** @import { Workspace } from '../model/workspace.js' */
/** @import { Item } from './pop-menu.js' */

/**
 * @typedef {object} Acts
 * @property {Workspace} workspace
 * @property {() => void} openFigures
 * @property {(column: string) => void} openParameters
 * @property {(column: Column) => void} openReplacer
 * @property {{alone: string | null}} board Which column is shown alone.
 * @property {(answers: {name: string, text: string}[]) => void} openDifferences
 */

/** @param {Acts} acts @param {Column} column @returns {Item[]} */
export function columnItems({ workspace, openFigures, openParameters, openReplacer, openDifferences, board }, column) {
  const { columns } = workspace;
  const { id, model } = column;
  /** @type {Item[]} */
  const always = [
    [board.alone === id ? 'Show all columns' : 'Show this column alone', () => { board.alone = board.alone === id ? null : id; }],
    ['Move left', () => columns.move(id, -1)],
    ['Move right', () => columns.move(id, 1)],
    ['Hide', () => columns.change(id, { isHidden: true })],
  ];
  if (workspace.isSecret) return always; // the others would reveal the model
  return [
    ['Parameters of this column…', () => openParameters(id)],
    ['Same model, other parameters', () => openParameters(columns.add(model, column).id)],
    ['Replace the model…', () => openReplacer(column)],
    ['Compare the answers…', () => openDifferences(latest(workspace, column))],
    ['Figures of this chat…', () => openFigures()],
    ...always,
    ['Remove', () => columns.remove(id)],
  ];
}

/** Return the latest answers, this column's first. @param {Workspace} workspace @param {Column} column */
function latest(workspace, column) {
  const turn = workspace.conversation.path.at(-1);
  const others = workspace.columns.shown.filter(({ id }) => id !== column.id);
  return [column, ...others].map((one) => ({ name: workspace.label(one), text: turn?.answer(one.id)?.said ?? '' }));
}
