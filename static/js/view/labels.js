/** The page's labels for states, ends, errors and numbers. No DOM. */

/** @import { Answer } from '../model/answer.js' */
/** @import { Cost, FinishReason, Model, ModelState, Notice, Progress, WireError } from '../client/protocol.js' */
/** @import { Metrics } from '../model/answer-metrics.js' */
/** @import { Turn } from '../model/conversation.js' */

/** @type {Record<ModelState, string>} */
export const MODEL_STATES = {
  stopped: 'Not running',
  pulling: 'Downloading',
  starting: 'Starting',
  loading: 'Loading',
  ready: 'Ready',
  stopping: 'Stopping',
  failed: 'Failed',
};

/** For models on servers that we do not run. @type {Partial<Record<ModelState, string>>} */
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
const PLACES = { process: 'on this machine', command: 'as a program', docker: 'in a container', swarm: 'in a swarm', remote: 'on another server' };

/** The label of a model's state; for a discovered server's model only what the server reports. @param {Model} model */
export function modelState({ server, state }) {
  if (server?.found && server.loaded !== false) return '';
  return (server && ELSEWHERE[state]) || (MODEL_STATES[state] ?? state);
}

/** Say what a model runs on: "llama.cpp on this machine". @param {Model} model */
export function runsOn({ engine, runner }) {
  return [engine, PLACES[runner] ?? runner].filter(Boolean).join(' ');
}

/** Whether a model's server is ours and runs, or is about to. @param {Model} model */
export function isRunning({ server, state }) {
  return !server && !['stopped', 'failed'].includes(state);
}

/**
 * What can be done with a model's server: the event that asks for it, and its name.
 *
 * @param {Model} model @returns {[act: 'model-start' | 'model-stop' | 'model-restart' | 'model-log', text: string][]}
 */
export function actionsOf({ capabilities, outdated, runner, server, state }) {
  if (server?.found) return []; // it has to be used first
  // We cannot stop a remote server, though some load and unload models; `model-start` tries to reach it again.
  const isOurs = runner !== 'remote';
  const loads = !isOurs && !!capabilities?.load;
  const isIdle = ['stopped', 'failed'].includes(state);
  const isLost = state === 'failed' && !!server;
  /** @type {ReturnType<typeof actionsOf>} */
  const found = [];
  // Without a load command the first prompt loads the model.
  if (isIdle && (!server || isLost || loads)) found.push(['model-start', isOurs ? 'Start' : isLost ? 'Try again' : 'Load']);
  if (!isIdle && state !== 'stopping' && (isOurs || loads)) found.push(['model-stop', loads ? 'Unload' : 'Stop']);
  if (isOurs && outdated && state === 'ready') found.push(['model-restart', 'Restart']);
  if (isOurs) found.push(['model-log', 'Log']);
  return found;
}

/** Whether the labels of a model contain all these words. @param {Model} model @param {string[]} words In lower case. */
export function matches(model, words) {
  if (words.length === 0) return true;
  const { description, details, id, name, server } = model;
  const said = [id, name, description, runsOn(model), modelState(model), server?.model, server?.address, ...Object.values(details ?? {})].join(' ').toLowerCase();
  return words.every((word) => said.includes(word));
}

/** Whether a model's name has all these as whole words. @param {Model} model @param {string[]} words In lower case. */
export function isNamed({ name }, words) {
  const own = name.toLowerCase().split(/[^\p{L}\p{N}.]+/u);
  return words.every((word) => own.includes(word));
}

/** @param {Progress} progress */
export function progressLine({ phase, fraction, text, eta_seconds: etaSeconds }) {
  const parts = [capital(text || phase)];
  if (fraction !== null) parts.push(percent(fraction));
  if (etaSeconds !== null) parts.push(timeLeft(etaSeconds));
  return parts.join(' · ');
}

/**
 * Say what a prompt does, or a digit in its place.
 *
 * @param {{names: string[], hidden: number, from?: string, votes?: number, startsOver?: boolean}} asked The names of the columns
 *   that are asked, how many are hidden and not asked, whose answer all go on from, how many digits vote, and whether it begins
 *   a blind round in a chat that has turns.
 */
export function askLabel({ names, hidden, from = '', votes = 0, startsOver = false }) {
  if (votes) return `1–${Math.min(votes, 8)} vote, 0 is a tie; or write on`;
  if (startsOver && names.length) return 'New round: it starts over';
  const known = [...names].sort().join(' and '); // their order would tell in a blind round which is which
  const count = names.length === 2 ? 'both columns' : `all ${names.length} columns`;
  const who = names.length < 3 && known.length < 40 ? known : names.length === 1 ? 'the model' : count;
  const left = hidden && names.length ? `, not the ${hidden === 1 ? 'hidden one' : `${hidden} hidden ones`}` : '';
  return `Ask ${who}${left}${from && names.length ? `, from the answer of ${from} on` : ''}`.trim();
}

/** The short label of what an answer is doing. @param {Answer} answer */
export function activity({ state, position, finishReason, seq, thinking }) {
  if (finishReason) return ENDS[finishReason] ?? finishReason;
  if (thinking?.isNow) return 'Thinking';
  if (state === 'running') return seq > 0 ? 'Writing' : 'Reading';
  if (state === 'queued' && position !== null) return `Queued, ${position}.`;
  return { waiting: 'Waiting', sending: 'Sending', queued: 'Queued', starting: 'Starting', ended: '' }[state];
}

/** Why no text comes yet, in a word. @type {Record<string, string>} */
const SHORT = { server_loads: 'Loading', prompt_progress: 'Reading', rate_limited: 'Held back', server_busy: 'Overloaded', waits_for_model: 'Waiting' };

/** Why no text comes yet, in a word. @param {Notice} notice */
export function waitLabel({ code }) {
  return SHORT[code] ?? 'Waiting';
}

/** Say how an answer ended and after how long. @param {Answer} answer */
export function ending({ finishReason, isCached, isFull, said, thinking, timings }) {
  if (!finishReason) return '';
  const end = isCached ? 'Kept from before, given' : isFull ? 'Context full' : ENDS[finishReason] ?? finishReason;
  const where = thinking && !said && finishReason !== 'stop' ? ' while thinking,' : '';
  if (timings?.total_ms == null) return end;
  const part = (/** @type {number | null | undefined} */ ms, /** @type {string} */ doing) => (ms == null ? '' : `, ${duration(ms)} of it to ${doing} the model`);
  return `${end}${where} after ${duration(timings.total_ms)}${part(timings.starting_ms, 'start')}${part(timings.load_ms, 'load')}`;
}

/** How an answer ended and its figures, to be read aloud; one that failed has none. @param {Answer} answer */
export function endLine(answer) {
  return [ending(answer), figures(answer.metrics).join(' · ')].filter(Boolean).join(', ');
}

/** The figures of an answer that are known, but its time. @param {Metrics} metrics */
export function figures({ answerMs, tokens: count, tokensPerSecond, isEstimated }) {
  const parts = [];
  if (count !== null) parts.push(about(tokens(count), isEstimated));
  if (tokensPerSecond !== null) parts.push(about(rate(tokensPerSecond), isEstimated));
  if (answerMs != null) parts.push(`answer after ${duration(answerMs)}`);
  return parts;
}

/** Mark a figure that was not counted exactly. @param {string} figure @param {boolean} [isEstimated] */
export function about(figure, isEstimated) {
  return isEstimated ? `≈${figure}` : figure;
}

/** @type {Record<string, string>} */
const ERRORS = {
  attachment_limit: 'There is no room for more files',
  cannot_see: 'The model takes no pictures',
  connection_closed: 'Not connected',
  conversation_limit: 'There is no room for more chats',
  conversations_off: 'Chats are not stored here',
  does_not_fit: 'The model does not fit on this machine',
  engine_error: 'The model server reported an error',
  engine_limited: 'The model server takes no more requests for now',
  engine_overloaded: 'The model server is overloaded',
  engine_timeout: 'The model server did not answer in time',
  forbidden: 'This is not allowed',
  gated_repository: "The model's terms are not accepted yet",
  hub_error: 'The model hub reported an error',
  hub_unreachable: 'The model hub cannot be reached',
  internal: 'Something went wrong on the server',
  invalid_attachment: 'The file cannot be read',
  invalid_command: 'The request is not valid',
  invalid_parameters: 'A parameter is not valid',
  invalid_prompt_set: 'The prompt set is not valid',
  method_not_allowed: 'This address does something else',
  model_failed: 'The model could not run',
  no_gguf: 'No file that runs here',
  not_found: 'There is nothing at this address',
  prompt_too_long: 'The prompt is too long',
  queue_full: 'The queue is full',
  rate_limited: 'Too many requests',
  run_limit: 'There is no room for more prompt sets or runs',
  runs_off: 'Prompt sets and runs are turned off',
  session_limit: 'Too many sessions',
  session_lost: 'The answer was interrupted',
  shutting_down: 'The server is shutting down',
  storage_failed: 'The stored chats cannot be used',
  too_large: 'The file is too large',
  unauthorized: 'A valid key is needed',
  unknown_attachment: 'An attached file is gone',
  unknown_conversation: 'No such chat',
  unknown_generation: 'The answer is gone',
  unknown_model: 'No such model',
  unknown_prompt_set: 'No such prompt set',
  unknown_repository: 'No such model on the hub',
  unknown_run: 'No such run',
  unknown_type: 'The server does not know this request',
  unsupported_attachment: 'Files of this kind cannot be given',
};

/** A title for an error's code. @param {string} code */
export function errorTitle(code) {
  return ERRORS[code] ?? 'This did not work';
}

/** An error and its hint as one paragraph. @param {{message: string, hint: string | null}} error */
export function errorText({ message, hint }) {
  return [message, hint ?? ''].map(sentence).join(' ');
}

/** What the user can do about an error, one line each. @param {Pick<WireError, 'code' | 'hint'>} error */
export function advice({ code, hint }) {
  const lines = hint ? [sentence(hint)] : [];
  if (code === 'prompt_too_long') {
    // Where turns can be left out, there is a button for it.
    return [sentence(hint?.replace(/^have the oldest turns left out with `trim`,? (or )?/, '') ?? 'A shorter prompt helps.')];
  }
  // Only a column asks a model that is not here.
  if (code === 'unknown_model') lines.push('“Replace the model…” in the column’s menu takes another.');
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
  if (/^(?:\w+:\/\/|[a-z]+[A-Z]|[a-z]+\.[a-z]{2})/.test(text)) return text; // an address, vLLM, llama.cpp
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** A turn's number and the beginning of its prompt. @param {Pick<Turn, 'attachments' | 'prompt'>} turn @param {number} index From 0. */
export function turnLabel({ attachments, prompt }, index) {
  const words = prompt || attachments.map(({ name }) => name).join(', ');
  return `${index + 1} · ${words.slice(0, 200).replace(/\s+/g, ' ')}`;
}

// Numbers

export const MINUTE_MS = 60_000;

/** @param {number} ms */
export function duration(ms) {
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < MINUTE_MS - 50) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A duration that may be very short: "8 ms", "0.18 s". @param {number} ms */
export function briefly(ms) {
  return ms < 99.5 ? `${Math.round(ms)} ms` : duration(ms);
}

/** A duration of a wait: "0.4 s", "11 s", "2 min". @param {number} ms */
export function wait(ms) {
  return ms < 9_950 && ms % 1000 ? `${(ms / 1000).toFixed(1)} s` : roughly(ms / 1000);
}

/** @param {number} seconds */
export function roughly(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 90 * 60 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** @param {number} tokensPerSecond */
export function rate(tokensPerSecond) {
  return `${tokensPerSecond.toFixed(tokensPerSecond < 99.95 ? 1 : 0)} /s`;
}

/** @param {number} seconds */
export function timeLeft(seconds) {
  return seconds < 1 ? 'a moment left' : `${roughly(seconds)} left`;
}

/** @param {number} fraction */
export function percent(fraction) {
  return `${Math.floor(fraction * 100)} %`;
}

/** A count in few signs: "840", "6.1k", "128k". @param {number} count */
export function brief(count) {
  const [size, unit] = count < 1000 ? [count, ''] : count < 999_500 ? [count / 1000, 'k'] : [count / 1_000_000, 'M'];
  return `${unit && size < 9.95 ? size.toFixed(1) : Math.round(size)}${unit}`;
}

/** @param {number} count */
export function tokens(count) {
  return `${count.toLocaleString('en')} ${count === 1 ? 'token' : 'tokens'}`;
}

/** US dollars; the smallest amount that is written out. */
const LEAST_COST = 0.000001;

/** A cost with enough digits not to be rounded to zero: "$0.0012". @param {Cost} cost */
export function costLabel({ amount, estimated }) {
  if (amount > 0 && amount < LEAST_COST) return `less than $${LEAST_COST.toFixed(6)}`;
  const digits = amount === 0 || amount >= 1 ? 2 : Math.max(4, 1 - Math.floor(Math.log10(amount)));
  return `${estimated ? '≈' : ''}$${amount.toFixed(digits)}`;
}
