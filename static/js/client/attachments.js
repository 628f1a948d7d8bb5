/**
 * Pictures and text files for prompts, over HTTP.
 *
 * It needs a browser: only XMLHttpRequest tells how much of a file is sent.
 */

import { SidestreamError } from './protocol.js';

/** @import { Attachment } from './protocol.js' */

const AWAY = { code: 'connection_closed', message: 'The server cannot be reached.' };
const UNREADABLE = { code: 'unreadable', message: 'It cannot be read; a folder cannot be added.' };

export class Attachments {
  #base;

  /** @param {string} base The service's address, ending with a slash. */
  constructor(base) {
    this.#base = base;
  }

  /** Where an attachment is. @param {string} id */
  url(id) {
    return `${this.#base}attachments/${id}`;
  }

  /**
   * Put a file. Rejects with a SidestreamError, or with what `signal` was aborted with.
   *
   * @param {File} file
   * @param {{onProgress?: (fraction: number) => void, signal?: AbortSignal}} [options]
   * @returns {Promise<Attachment>}
   */
  async put(file, { onProgress, signal } = {}) {
    await file.slice(0, 1).arrayBuffer().catch(() => {
      throw new SidestreamError(UNREADABLE);
    });
    signal?.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open('PUT', `${this.#base}attachments?name=${encodeURIComponent(nameOf(file))}`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.responseType = 'json';
    request.upload.addEventListener('progress', ({ loaded, total }) => onProgress?.(loaded / total));
    signal?.addEventListener('abort', () => request.abort());
    await new Promise((resolve) => {
      request.addEventListener('loadend', resolve);
      request.send(file);
    });
    signal?.throwIfAborted();
    const { response, status } = request;
    if (status === 200 && response?.id) return response;
    throw new SidestreamError(response?.error ?? AWAY);
  }

  /** Whether the server still has an attachment; also if it cannot be asked. @param {string} id */
  async has(id) {
    try {
      return (await fetch(this.url(id), { method: 'HEAD' })).status !== 404;
    } catch {
      return true;
    }
  }
}

/** The end of a file's name, as long as the server takes it; halves of characters have no URI. @param {File} file */
function nameOf({ name }) {
  return [...name].slice(-200).join('').replace(/\p{Cs}/gu, '\ufffd');
}
