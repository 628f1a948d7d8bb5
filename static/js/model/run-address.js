/**
 * The addresses of runs, beside a chat's: `#runs`, `#run=ID`, and `#run=ID&prompt=N`, N from 1 as it is shown. No DOM.
 */

/** @typedef {{id: string | null, prompt: number | null}} RunPlace A null id is the list; `prompt` is from 0. */

/** What an address asks for, null for one that is no run's. @param {string} hash @returns {RunPlace | null} */
export function runPlace(hash) {
  if (hash === '#runs') return { id: null, prompt: null };
  const [, id, prompt] = /^#run=([\w-]{1,64})(?:&prompt=([1-9]\d{0,8}))?$/.exec(hash) ?? [];
  return id ? { id, prompt: prompt ? Number(prompt) - 1 : null } : null;
}

/** @param {string | null} id @param {number | null} [prompt] From 0. */
export function runHash(id, prompt = null) {
  if (id === null) return '#runs';
  return `#run=${id}${prompt === null ? '' : `&prompt=${prompt + 1}`}`;
}

/** How far below the page an address is; going deeper is a step that the browser's button takes back. @param {string} hash */
export function depthOf(hash) {
  const place = runPlace(hash);
  if (!place) return 0;
  return place.id === null ? 1 : place.prompt === null ? 2 : 3;
}
