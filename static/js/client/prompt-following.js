/**
 * Following one prompt of a run while its answers are written, over as many connections as it takes.
 *
 * Each connection begins with all that is there: a complete answer, or a snapshot of what is written so far, takes
 * the place of all that was told of that answer before. Waits between connections double, with jitter, and end;
 * events that come reset them. A program that follows no prompts does not load this module.
 */

import { SidestreamError } from './protocol.js';

/** @import { Run, RunAnswer } from './runs.js' */
/** @import { WireError } from './protocol.js' */

/** @typedef {'waiting' | 'queued' | 'starting' | 'running' | 'ended'} AskedState */
/** @typedef {{type: 'snapshot', target: number, repeat: number, state: AskedState, text: string, reasoning: string}} SnapshotEvent */
/**
 * @typedef {SnapshotEvent | {type: 'state', target: number, repeat: number, state: AskedState}
 *   | {type: 'delta', target: number, repeat: number, text: string, kind: 'answer' | 'reasoning'}
 *   | {type: 'answer', answer: RunAnswer} | {type: 'end', state: Run['state'], is_complete: boolean}} PromptEvent
 */
/** @typedef {{signal?: AbortSignal, minDelayMs?: number, maxDelayMs?: number, maxAttempts?: number, random?: () => number, fetch?: typeof fetch}} FollowOptions `signal`: when to stop. */

/**
 * Follow a prompt until the run is over or all its answers are complete: the events, those that came together at once.
 *
 * Throws `SidestreamError`: the run is unknown, or was deleted; or `connection_closed` after `maxAttempts`.
 *
 * @param {string} base The service's address, ending with a slash.
 * @param {string} run Its id.
 * @param {number} prompt From 0.
 * @param {FollowOptions} [options]
 * @returns {AsyncGenerator<PromptEvent[], void, void>}
 */
export async function* followPrompt(base, run, prompt, options = {}) {
  const { signal, minDelayMs = 250, maxDelayMs = 15_000, maxAttempts = 45, random = Math.random, fetch: ask = fetch } = options;
  const address = `${base}runs/${encodeURIComponent(run)}/prompts/${prompt}/events`;
  for (let failures = 0; ; failures += 1) {
    try {
      for await (const events of connection(await ask(address, { signal, headers: { Accept: 'text/event-stream' } }))) {
        if (signal?.aborted) return;
        failures = 0;
        yield events;
        const last = events[events.length - 1];
        if (last.type === 'end' && (last.is_complete || last.state !== 'running')) return;
      }
    } catch (error) {
      if (signal?.aborted) return;
      if (error instanceof SidestreamError) throw error;
    }
    if (failures >= maxAttempts) throw new SidestreamError({ code: 'connection_closed', message: 'The server cannot be reached.' });
    await pause(Math.min(minDelayMs * 2 ** failures, maxDelayMs) * (0.5 + random() / 2), signal);
    if (signal?.aborted) return;
  }
}

/** The events of one connection. Throws `SidestreamError` for what another connection would not change. @param {Response} response @returns {AsyncGenerator<PromptEvent[], void, void>} */
async function* connection(response) {
  if (!response.ok || !response.body) {
    if (response.status >= 500 || response.status === 429) throw new Error(`status ${response.status}`);
    throw new SidestreamError((await response.json()).error);
  }
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split('\n\n');
      rest = parts.pop() ?? '';
      const told = parts.filter((part) => part.startsWith('data: ')).map((part) => JSON.parse(part.slice('data: '.length)));
      const failed = told.findIndex(({ error }) => error);
      const events = failed < 0 ? told : told.slice(0, failed);
      if (events.length) yield events.map(complete);
      if (failed >= 0) throw new SidestreamError(/** @type {WireError} */ (told[failed].error));
    }
  } finally {
    reader.cancel().catch(() => {}); // the connection may be gone
  }
}

/** With the fields that the server leaves out. @param {any} event @returns {PromptEvent} */
function complete(event) {
  if (event.type === 'snapshot') return { text: '', reasoning: '', ...event };
  return event.type === 'delta' ? { kind: 'answer', ...event } : event;
}

/** @param {number} ms @param {AbortSignal} [signal] */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve(undefined);
    }, { once: true });
  });
}
