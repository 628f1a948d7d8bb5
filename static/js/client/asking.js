/** One request to the server's own HTTP API. */

import { SidestreamError } from './protocol.js';

/**
 * Ask with JSON and return the answer's; throws `SidestreamError`, also if the server cannot be reached.
 *
 * @param {string} method @param {string} url @param {{body?: object, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} Undefined where the answer is empty.
 */
export async function ask(method, url, { body, signal } = {}) {
  let answer;
  try {
    const response = await fetch(url, {
      method,
      signal,
      ...(body && { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    });
    if (response.status === 204) return undefined;
    answer = await response.json();
    if (response.ok) return answer;
  } catch (error) {
    signal?.throwIfAborted();
    const message = error instanceof SyntaxError ? 'The server gave no proper answer.' : 'The server cannot be reached.';
    throw new SidestreamError({ code: 'connection_closed', message });
  }
  throw new SidestreamError(answer.error);
}
