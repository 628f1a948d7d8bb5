/** Models added by name, over HTTP; described in docs/API_REFERENCE.md. */

import { ask } from './asking.js';

/** @import { Model } from './protocol.js' */

/** @typedef {{file: string, quantization: string, files: number, size_bytes: number, download_bytes: number, memory_bytes: number, fits: boolean, problem: string | null}} Candidate */
/** @typedef {{repo: string, id: string, chosen: string, candidates: Candidate[], slots: number, context_tokens: number, is_estimate_rough: boolean, memory_total_bytes: number | null, memory_budget_bytes: number | null, disk_free_bytes: number | null}} HubLook */
/** @typedef {{name: string, address: string, kind: string, model_count: number, models: string[]}} ServerLook */
/** @typedef {{hub: HubLook | null, server: ServerLook | null}} Look */
/** @typedef {{id: string, name: string, weights: string}} AddedModel */

export class Catalog {
  #base;

  /** @param {string} base The service's address, ending with a slash. */
  constructor(base) {
    this.#base = base;
  }

  /** @returns {Promise<AddedModel[]>} */
  list() {
    return this.#ask('GET', '');
  }

  /** Say what is named, and whether it fits. @param {{name: string, api_key?: string}} wanted @param {AbortSignal} signal @returns {Promise<Look>} */
  look(wanted, signal) {
    return this.#ask('POST', '/look', wanted, signal);
  }

  /** @param {{name: string, file?: string, api_key?: string, force?: boolean}} wanted @returns {Promise<Model[]>} */
  add(wanted) {
    return this.#ask('POST', '', wanted);
  }

  /** @param {string} id @returns {Promise<void>} */
  remove(id) {
    return this.#ask('DELETE', `/${encodeURIComponent(id)}`);
  }

  /** @param {string} method @param {string} path @param {object} [body] @param {AbortSignal} [signal] @returns {Promise<any>} */
  #ask(method, path, body, signal) {
    return ask(method, `${this.#base}catalog${path}`, { body, signal });
  }
}
