/** What states, ends and errors are called on the page. No DOM. */

import { duration, percent, rate, timeLeft, tokens } from './figures.js';

/** @import { Answer } from '../model/answer.js' */
/** @import { FinishReason, Model, ModelState, Progress, WireError } from '../client/protocol.js' */
/** @import { Figures } from '../model/meter.js' */

/** @type {Record<ModelState, string>} */
const MODEL_STATES = {
  stopped: 'Not running',
  pulling: 'Downloading',
  starting: 'Starting',
  loading: 'Loading',
  ready: 'Ready',
  stopping: 'Stopping',
  failed: 'Failed',
};

/** Where a server of somebody else says so. @type {Partial<Record<ModelState, string>>} */
const ELSEWHERE = { stopped: 'Not loaded', stopping: 'Unloading', failed: 'Not available' };

/** @type {Record<FinishReason, string>} */
const ENDS = {
  stop: 'Complete',
  length: 'Length limit reached',
  cancelled: 'Stopped',
  failed: 'Failed',
  interrupted: 'Interrupted',
};

/** @type {Record<string, string>} */
const PLACES = { process: 'on this machine', command: 'as a program', docker: 'in a container', remote: 'on another server' };

/** @param {Model} model */
export function modelState({ server, state }) {
  return (server && ELSEWHERE[state]) || (MODEL_STATES[state] ?? state);
}

/** Say what a model runs on: "llama.cpp on this machine". @param {Model} model */
export function runsOn({ engine, runner }) {
  return [engine, PLACES[runner] ?? runner].filter(Boolean).join(' ');
}

/** Tell whether all these words are in what is said of a model. @param {Model} model @param {string[]} words In small letters. */
export function hasWords(model, words) {
  if (words.length === 0) return true;
  const { description, details, id, name, server } = model;
  const said = [id, name, description, runsOn(model), modelState(model), server?.model, server?.address, ...Object.values(details ?? {})].join(' ').toLowerCase();
  return words.every((word) => said.includes(word));
}

/** @param {Progress} progress */
export function progressLine({ phase, fraction, text, eta_seconds: etaSeconds }) {
  const parts = [capital(text || phase)];
  if (fraction !== null) parts.push(percent(fraction));
  if (etaSeconds !== null) parts.push(timeLeft(etaSeconds));
  return parts.join(' · ');
}

/** Say what an answer that has no text yet is waiting for. @param {Answer} answer @param {Model | undefined} model */
export function waitingFor({ state, position }, model) {
  if (state === 'waiting') return model?.progress ? progressLine(model.progress) : 'Waiting for its turn';
  if (state === 'sending') return 'Sending';
  if (state === 'queued') return position === null ? 'Queued' : `Queued, number ${position} in line`;
  if (state === 'running') return 'Reading the prompt';
  if (!model) return 'Starting';
  return model.progress ? progressLine(model.progress) : modelState(model);
}

/** Say in a word or two what an answer is doing. @param {Answer} answer */
export function activity({ state, position, finishReason, seq }) {
  if (finishReason) return ENDS[finishReason] ?? finishReason;
  if (state === 'running') return seq > 0 ? 'Writing' : 'Reading';
  if (state === 'queued' && position !== null) return `Queued, ${position}.`;
  return { waiting: 'Waiting', sending: 'Sending', queued: 'Queued', starting: 'Starting', ended: '' }[state];
}

/** Say how an answer ended and after how long. @param {Answer} answer */
export function ending({ finishReason, isCached, timings }) {
  if (!finishReason) return '';
  const end = isCached ? 'Kept from before, given' : ENDS[finishReason] ?? finishReason;
  if (timings?.total_ms == null) return end;
  const load = timings.load_ms == null ? '' : `, ${duration(timings.load_ms)} of it to load the model`;
  return `${end} after ${duration(timings.total_ms)}${load}`;
}

/** @param {Figures} figures */
export function figuresLine({ tokens: count, tokensPerSecond, isEstimated }) {
  const parts = [];
  if (count !== null) parts.push(about(tokens(count), isEstimated));
  if (tokensPerSecond !== null) parts.push(about(rate(tokensPerSecond), isEstimated));
  return parts.join(' · ');
}

/** Mark a figure that was not counted exactly. @param {string} figure @param {boolean} [isEstimated] */
export function about(figure, isEstimated) {
  return isEstimated ? `≈${figure}` : figure;
}

/** @type {Record<string, string>} */
const ERRORS = {
  connection_closed: 'Not connected',
  engine_error: 'The model server reported an error',
  engine_limited: 'The model server takes no more requests for now',
  engine_overloaded: 'The model server is overloaded',
  engine_timeout: 'The model server did not answer in time',
  internal: 'Something went wrong on the server',
  invalid_parameters: 'A parameter is not valid',
  model_failed: 'The model could not run',
  prompt_too_long: 'The prompt is too long',
  queue_full: 'The queue is full',
  rate_limited: 'Too many requests',
  session_limit: 'Too many sessions',
  session_lost: 'The session was lost',
  shutting_down: 'The server is shutting down',
  unknown_model: 'No such model',
};

/** A title for an error's code. @param {string} code */
export function errorTitle(code) {
  return ERRORS[code] ?? 'This did not work';
}

/** Say an error and what helps in one paragraph. @param {{message: string, hint: string | null}} error */
export function inWords({ message, hint }) {
  return [message, hint ?? ''].map(sentence).join(' ');
}

/** Say what the user can do about an error, a line for each way. @param {Pick<WireError, 'code' | 'hint'>} error */
export function advice({ code, hint }) {
  const lines = hint ? [sentence(hint)] : [];
  if (code === 'prompt_too_long') {
    lines.push('“New chat” leaves out what was said before; a shorter prompt helps too.');
  }
  return lines;
}

/** Split at pairs of backticks. @param {string} text @returns {{text: string, isCode: boolean}[]} */
export function pieces(text) {
  return text.split(/`([^`\n]+)`/)
    .map((piece, index) => ({ text: piece, isCode: index % 2 === 1 }))
    .filter((piece) => piece.text !== '');
}

/** Begin with a capital and end with a full stop; servers often do neither. @param {string} text */
export function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return '';
  return /[.!?…:)]$/.test(trimmed) ? capital(trimmed) : `${capital(trimmed)}.`;
}

/** @param {string} text */
export function capital(text) {
  if (/^\w+:\/\//.test(text)) return text; // an address stays one
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
