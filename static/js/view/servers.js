/** What the page says of models on servers of somebody else. No DOM. */

/** @import { Model } from '../client/protocol.js' */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * @typedef {object} Group Models that stand together in the list.
 * @property {string} key
 * @property {string} title Empty: there is nothing to tell them from.
 * @property {string} server What `use` takes, if it was found and is not in use yet; else empty.
 * @property {Model[]} models
 */

/** Put models together by the server they are on, our own first and what was found last. @param {Iterable<Model>} models @returns {Group[]} */
export function grouped(models) {
  /** @type {Map<string, Group>} */
  const groups = new Map();
  for (const model of models) {
    const { server } = model;
    const name = server?.found ? server.name || server.address : server?.name ?? '';
    const key = server ? `${server.found ? 'found' : 'server'} ${name}` : '';
    const group = groups.get(key) ?? { key, title: '', server: server?.found ? name : '', models: [] };
    groups.set(key, group);
    group.models.push(model);
    if (!server) group.title = 'Run by Sidestream';
    else group.title ||= name ? serverTitle(model) : 'On other servers';
  }
  const all = [...groups.values()];
  if (all.length === 1 && all[0].key === '') all[0].title = '';
  const rank = (/** @type {Group} */ { key, server }) => (key === '' ? 0 : server ? 2 : 1);
  return all.sort((a, b) => rank(a) - rank(b));
}

/** Say which server it is: "gpu-box · vLLM · 10.0.0.7:8000". @param {Model} model */
export function serverTitle({ engine, server }) {
  const kind = server?.flavour === 'plain' ? '' : engine || server?.flavour || server?.dialect || '';
  // One that was found is named after its kind.
  const name = letters(server?.name ?? '') === letters(kind) ? '' : server?.name;
  return [name, kind, server?.address.replace(/^\w+:\/+/, '')].filter(Boolean).join(' · ');
}

/** @param {string} text */
function letters(text) {
  return text.replace(/\W/g, '').toLowerCase();
}

/** Say why none of these can be asked, if one cause keeps all; else null. @param {Group} group */
export function commonError({ key, models }) {
  const [first] = models;
  const isShared = key !== '' && models.length > 1 && first.error !== null && first.server?.name
    && models.every(({ error, state }) => state === 'failed' && error?.message === first.error?.message);
  return isShared ? first.error : null;
}

/** Say when a server last answered: "last seen 5 min ago". @param {Model} model @param {number} nowMs */
export function lastSeen({ server }, nowMs) {
  if (server?.seen == null) return '';
  const seconds = Math.max(0, nowMs / 1000 - server.seen);
  if (seconds < MINUTE) return 'last seen just now';
  if (seconds < HOUR) return `last seen ${Math.floor(seconds / MINUTE)} min ago`;
  if (seconds < DAY) return `last seen ${Math.floor(seconds / HOUR)} h ago`;
  const days = Math.floor(seconds / DAY);
  return `last seen ${days} ${days === 1 ? 'day' : 'days'} ago`;
}

/** Return what tells a model from others, in a word or two each. @param {Model} model @returns {string[]} */
export function traits({ details, limits, server }) {
  if (!server) return [];
  const { max_total_tokens: inForce, model_context: longest } = limits;
  const size = (/** @type {unknown} */ tokens) => Number(tokens).toLocaleString('en');
  const context = [];
  if (inForce && longest && inForce !== longest) context.push(`context ${size(inForce)} of ${size(longest)}`);
  else if (inForce) context.push(`context ${size(inForce)}`);
  else if (longest) context.push(`context unknown, at most ${size(longest)}`);
  return [...Object.values(details ?? {}), ...context, ...(server.loaded ? ['loaded'] : [])].filter(Boolean);
}
