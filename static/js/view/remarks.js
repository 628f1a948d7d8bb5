/** What a server says of an answer beside its text: why it waits, what became of it, what it cost. No DOM. */

import { capital, sentence } from './words.js';

/** @import { Cost, Notice } from '../client/protocol.js' */

/** What is said where a server's own words would tell which model it is, or are missing. @type {Record<string, string>} */
const WAITS = {
  server_loads: 'The server loads the model',
  prompt_progress: 'Reading the prompt',
  rate_limited: 'The server takes no more requests for now',
  waits_for_model: 'Waiting for another model on this server',
};
/** @type {Record<string, string>} */
const SHORT = { server_loads: 'Loading', prompt_progress: 'Reading', rate_limited: 'Held back', waits_for_model: 'Waiting' };
/** Those after which an answer is not what was asked for. */
const GRAVE = ['prompt_truncated', 'no_chat_template', 'answered_by_changed'];
/** US dollars: what is less is not told apart. */
const LEAST_COST = 0.000001;

/** Say why no text comes yet. @param {Notice} notice @param {{isSecret: boolean, waitedMs: number}} options */
export function waitWords({ code, message, details }, { isSecret, waitedMs }) {
  const known = WAITS[code] ?? '';
  if (code === 'prompt_progress' && details?.total) {
    return `Read ${details.processed.toLocaleString('en')} of ${details.total.toLocaleString('en')} tokens`;
  }
  const words = message.trim();
  const isOwn = !isSecret && words && !known.toLowerCase().startsWith(words.toLowerCase());
  // The server's words alone may be "50 %": what they are of is said before them.
  const isBare = code === 'server_loads' && !words.toLowerCase().startsWith(known.toLowerCase());
  const said = isOwn ? [isBare && known, words].filter(Boolean).join(': ') : known || 'Waiting';
  if (typeof details?.seconds !== 'number') return capital(said);
  const left = Math.ceil(details.seconds - waitedMs / 1000);
  return `${capital(said).replace(/\.$/, '')} · ${left > 0 ? `asked again in ${countdown(left)}` : 'asked again now'}`;
}

/** Say in a word why no text comes yet. @param {Notice} notice */
export function waitWord({ code }) {
  return SHORT[code] ?? 'Waiting';
}

/** How far it is, from 0 to 1; null where that is not told. @param {Notice} notice */
export function waitFraction({ code, details }) {
  return code === 'prompt_progress' && details?.total ? Math.min(1, details.processed / details.total) : null;
}

/** @param {Notice} notice @returns {{text: string, isGrave: boolean}} */
export function remark({ code, message }) {
  return { text: sentence(message || code), isGrave: GRAVE.includes(code) };
}

/** Write what an answer cost, so that it is told from nothing: "$0.0012". @param {Cost} cost */
export function costWords({ amount, estimated }) {
  if (amount > 0 && amount < LEAST_COST) return `less than $${LEAST_COST.toFixed(6)}`;
  const digits = amount === 0 || amount >= 1 ? 2 : Math.max(4, 1 - Math.floor(Math.log10(amount)));
  return `${estimated ? '≈' : ''}$${amount.toFixed(digits)}`;
}

/** @param {number} seconds */
function countdown(seconds) {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`;
}
