/** Groups and labels of models, by their servers and by what tells them apart. No DOM. */

import { brief } from './labels.js';

/** @import { Model } from '../client/protocol.js' */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Made once: it takes longer to make than to use. */
const NUMBERS = new Intl.NumberFormat('en');

/** @type {Record<string, string>} */
const TITLES = { '': 'Run by Sidestream', chosen: 'Chosen', running: 'Running here', idle: 'Here, not running' };
/** The beginnings of the groups' keys, in their order. */
const RANKS = ['chosen', 'running', 'idle', '', 'found', 'server'];

/**
 * @typedef {object} Group Models that stand together in the list.
 * @property {string} key
 * @property {string} title Empty: there is nothing to tell them from.
 * @property {string} server What `use` takes, if it was found and is not in use yet; else empty.
 * @property {Model[]} models
 */

/**
 * Put models together: those that are chosen, our own that run and that do not, what was found on this machine,
 * and the others by the server they are on.
 *
 * @param {Iterable<Model>} models @param {{chosen: Set<string>, running: Set<string>}} [special] Their ids, to tell
 *   them apart; without it our own are one group. @returns {Group[]}
 */
export function grouped(models, special) {
  /** @type {Map<string, Group>} */
  const groups = new Map();
  for (const model of models) {
    const { id, server } = model;
    const name = server?.found ? server.name || server.address : server?.name ?? '';
    const own = !special || server ? '' : special.running.has(id) ? 'running' : 'idle';
    const key = server?.found ? `found ${name}` : special?.chosen.has(id) ? 'chosen' : server ? `server ${name}` : own;
    const group = groups.get(key) ?? { key, title: TITLES[key] ?? '', server: server?.found ? name : '', models: [] };
    groups.set(key, group);
    group.models.push(model);
    group.title ||= name ? serverTitle(model) : 'On other servers';
  }
  const all = [...groups.values()];
  if (all.length === 1 && all[0].key === '') all[0].title = '';
  const rank = (/** @type {Group} */ { key }) => RANKS.indexOf(key.split(' ')[0]);
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
  const isShared = key.includes(' ') && models.length > 1 && first.error !== null && first.server?.name
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
  const { max_total_tokens: inForce, model_context: longest } = limits;
  const size = (/** @type {unknown} */ tokens) => NUMBERS.format(Number(tokens));
  const context = [];
  if (inForce && longest && inForce !== longest) context.push(`context ${size(inForce)} of ${size(longest)}`);
  else if (inForce) context.push(`context ${size(inForce)}`);
  else if (longest) context.push(`context unknown, at most ${size(longest)}`);
  return [...Object.values(details ?? {}), ...context, ...(server?.loaded ? ['loaded'] : [])].filter(Boolean);
}

/** Return the same in a sign each, what tells most first: "8B", "Q4", "128k", and the server, which has a class. @param {Model} model @returns {string[][]} */
export function chips({ details, limits, server }) {
  const { parameters = '', quantization = '' } = details ?? {};
  const tokens = Number(limits.max_total_tokens ?? limits.model_context ?? 0);
  const size = parameters.replace(/^(\d\.\d)\d*(?=B)/, '$1').replace('.0', '');
  const signs = [[size], [quantization.replace(/^bitsandbytes-/i, '').replace(/_.*/, '')], [tokens ? contextSize(tokens) : ''], [server ? server.name || 'remote' : '', 'chip-server']];
  return signs.filter(([text]) => text);
}

/** A context in few signs, by the powers of two that contexts are called by: "4k", "128k". @param {number} tokens */
function contextSize(tokens) {
  const [size, unit] = tokens % 2 ** 20 === 0 ? [tokens / 2 ** 20, 'M'] : [tokens / 1024, 'k'];
  return Number.isInteger(size) ? `${size}${unit}` : brief(tokens);
}
