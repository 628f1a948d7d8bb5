/**
 * The addresses of runs, beside a chat's. No DOM.
 *
 * `#runs` is the list, `#runs&show=leaderboard`, `sets` and `new` what it leads to, and `#runs&set=ID` a kept set.
 * `#run=ID` is a run, `#run=ID&prompt=N` a prompt of it, N from 1 as it is shown, and `#run=ID&show=results`, `judges`
 * and `vote` what else is shown of it.
 */

/** @typedef {'leaderboard' | 'sets' | 'new' | 'results' | 'judges' | 'vote'} Shown */
/** @typedef {{id: string | null, prompt: number | null, show: Shown | null, set: string | null}} RunPlace Without an id it is the list, or what that leads to; `prompt` is from 0. */

const NEW = '#runs&show=new';
const OF_LIST = /^#runs(?:&show=(leaderboard|sets|new)|&set=([\w-]{1,64}))?$/;
const OF_RUN = /^#run=([\w-]{1,64})(?:&prompt=([1-9]\d{0,8})|&show=(results|judges|vote))?$/;

/** What an address asks for, null for one that is no run's. @param {string} hash @returns {RunPlace | null} */
export function runPlace(hash) {
  const list = OF_LIST.exec(hash);
  if (list) return { id: null, prompt: null, show: shown(list[1]), set: list[2] ?? null };
  const run = OF_RUN.exec(hash);
  if (!run) return null;
  return { id: run[1], prompt: run[2] ? Number(run[2]) - 1 : null, show: shown(run[3]), set: null };
}

/** @param {string | null} id @param {number | null} [prompt] From 0. */
export function runHash(id, prompt = null) {
  if (id === null) return '#runs';
  return `#run=${id}${prompt === null ? '' : `&prompt=${prompt + 1}`}`;
}

/** @param {string | null} id Null: of no run. @param {Shown} show */
export function shownHash(id, show) {
  return `${runHash(id)}&show=${show}`;
}

/** @param {string} set */
export function setHash(set) {
  return `#runs&set=${set}`;
}

/** How far below the page an address is; going deeper is a step that the browser's button takes back. @param {string} hash */
export function depthOf(hash) {
  const place = runPlace(hash);
  if (!place) return 0;
  const { id, prompt, show, set } = place;
  return (id === null ? 1 : 2) + (set !== null ? 2 : show !== null || prompt !== null ? 1 : 0);
}

/** Whether going from one address to another is a step to be taken back: deeper, or beside it to something else; the form for a new run is not gone back to once it begins. @param {string} from @param {string} to */
export function isStep(from, to) {
  const [before, after] = [depthOf(from), depthOf(to)];
  return after > before || (after === before && from !== NEW && kindOf(from) !== kindOf(to));
}

/** The prompts of a run are one kind. @param {string} hash */
function kindOf(hash) {
  return hash.replace(/&prompt=.*$/, '&prompt');
}

/** @param {string | undefined} word */
function shown(word) {
  return /** @type {Shown | null} */ (word ?? null);
}
