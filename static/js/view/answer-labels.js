/** Labels of answers, which come with them: what they wait for, that they think, remarks at their end. No DOM. */

import { MINUTE_MS, about, capital, duration, modelState, progressLine, roughly, sentence, tokens } from './labels.js';

/** @import { Generation } from '../client/generation.js' */
/** @import { Model, Notice } from '../client/protocol.js' */
/** @import { Answer, Thinking } from '../model/answer.js' */

/** Used if the server's own words are missing. @type {Record<string, string>} */
const WAITS = {
  server_loads: 'The server loads the model',
  prompt_progress: 'Reading the prompt',
  rate_limited: 'The server takes no more requests for now',
  server_busy: 'The server is overloaded',
  waits_for_model: 'Waiting for another model on this server',
};
/** Notices that mean the answer is not what was asked for. */
const GRAVE = ['prompt_truncated', 'picture_left_out', 'no_chat_template', 'answered_by_changed'];

/** Why no text comes yet. @param {Notice} notice @param {number} waitedMs */
export function waitText({ code, message, details }, waitedMs) {
  const known = WAITS[code] ?? '';
  if (code === 'prompt_progress' && details?.total) {
    return `Read ${details.processed.toLocaleString('en')} of ${details.total.toLocaleString('en')} tokens`;
  }
  const words = message.trim();
  const isOwn = words && !known.toLowerCase().startsWith(words.toLowerCase());
  // The server's words may be just "50 %", so the label goes before them.
  const isBare = code === 'server_loads' && !words.toLowerCase().startsWith(known.toLowerCase());
  const said = isOwn ? [isBare && known, words].filter(Boolean).join(': ') : known || 'Waiting';
  if (typeof details?.seconds !== 'number') return capital(said);
  const left = Math.ceil(details.seconds - waitedMs / 1000);
  return `${capital(said).replace(/\.$/, '')} · ${left > 0 ? `asked again in ${countdown(left)}` : 'asked again now'}`;
}

/** Progress from 0 to 1; null if unknown. @param {Notice} notice */
export function waitFraction({ code, details }) {
  return code === 'prompt_progress' && details?.total ? Math.min(1, details.processed / details.total) : null;
}

/** The remarks about an answer; that the context is full is told as its end. @param {Notice[]} notices */
export function remarks(notices) {
  return notices.filter(({ code }) => code !== 'context_full').map(noticeText);
}

/** @param {Notice} notice @returns {{text: string, isGrave: boolean}} */
export function noticeText({ code, message }) {
  return { text: sentence(message || code), isGrave: GRAVE.includes(code) };
}

/** @param {number} seconds */
function countdown(seconds) {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`;
}

/** Say how long a model has thought, or did. @param {Thinking} thinking */
export function thinkingLine({ isNow, ms, tokens: count, isEstimated }) {
  const isShort = ms < 9_950 && !isNow;
  const time = isShort && ms < 50 ? 'a moment' : ms < MINUTE_MS ? `${isShort ? (ms / 1000).toFixed(1) : Math.floor(ms / 1000)} s` : duration(ms);
  const words = isNow ? `Thinking… ${time}` : ms > 0 ? `Thought for ${time}` : 'Thought';
  return count > 0 ? `${words} · ${about(tokens(count), isEstimated)}` : words;
}

/** Say what an answer that has no text yet is waiting for. @param {Answer} answer @param {Model | undefined} model */
export function waitingFor({ generation, phaseMs, position, state }, model) {
  if (state === 'waiting') return model?.progress ? progressLine(model.progress) : 'Waiting for its turn';
  if (state === 'sending') return 'Sending';
  if (state === 'queued') return queuedFor(phaseMs, position, generation?.limits);
  if (state === 'running') return 'Reading the prompt';
  if (!model) return 'Starting';
  return model.progress ? progressLine(model.progress) : modelState(model);
}

/**
 * Say for how long an answer has been queued, why, and with which limit.
 *
 * @param {number} ms
 * @param {number | null} position
 * @param {Generation['limits']} [limits]
 */
export function queuedFor(ms, position, limits) {
  const { maxConcurrent = null, queueTimeout = null } = limits ?? {};
  const since = ms < 1000 ? 'Queued' : `Queued for ${roughly(Math.floor(ms / 1000))}`;
  const why = position === null ? [] : [
    maxConcurrent === null ? '' : `the server writes ${maxConcurrent === 1 ? 'one answer' : `${maxConcurrent} answers`} at once`,
    queueTimeout === null ? '' : `given up after ${roughly(queueTimeout)}`,
  ];
  return [position === null ? since : `${since}, number ${position} in line`, ...why].filter(Boolean).join(' · ');
}
