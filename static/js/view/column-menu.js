/** What can be done with a column, as its menu lists it. No DOM. */

/** @import { SidestreamClient } from '../client/client.js' */
/** @import { Column } from '../model/columns.js' */
/** @import { Workspace } from '../model/workspace.js' */
/** @import { Item } from './pop-menu.js' */

/**
 * @typedef {object} Acts
 * @property {SidestreamClient} client
 * @property {Workspace} workspace
 * @property {(items: Item[], button: HTMLElement) => void} openMenu
 * @property {(column: string) => void} openParameters
 * @property {(answers: {name: string, text: string}[]) => void} openDifferences
 */

/** @param {Acts} acts @param {Column} column @param {HTMLElement} button What the menu is beside. @returns {Item[]} */
export function columnItems({ client, workspace, openMenu, openParameters, openDifferences }, column, button) {
  const { columns } = workspace;
  const { id, model } = column;
  const others = () => [...client.models.values()].filter((one) => one.id !== model && !one.server?.found);
  /** @type {Item[]} */
  const always = [
    ['Move left', () => columns.move(id, -1)],
    ['Move right', () => columns.move(id, 1)],
    ['Hide', () => columns.change(id, { isHidden: true })],
  ];
  if (workspace.isSecret) return always; // the others would tell which model it is
  return [
    ['Parameters of this column…', () => openParameters(id)],
    ['Same model, other parameters', () => openParameters(columns.add(model, column).id)],
    ['Replace the model…', () => openMenu(others().map((one) => [one.name, () => columns.change(id, { model: one.id })]), button)],
    ['Compare the answers…', () => openDifferences(latest(workspace, column))],
    ...always,
    ['Remove', () => columns.remove(id)],
  ];
}

/** Return the latest answers, this column's first. @param {Workspace} workspace @param {Column} column */
function latest(workspace, column) {
  const turn = workspace.conversation.path.at(-1);
  const others = workspace.columns.shown.filter(({ id }) => id !== column.id);
  return [column, ...others].map((one) => ({ name: workspace.label(one), text: turn?.answer(one.id)?.text ?? '' }));
}
