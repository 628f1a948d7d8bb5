/**
 * A fake WebSocket controlled by the test, and a client that uses it.
 *
 * Each connection attempt makes a new one; `network.latest` is the newest. `sent` has the parsed
 * commands of the client.
 */

import { webcrypto } from 'node:crypto';

import { SidestreamClient } from '../../static/js/client/client.js';

globalThis.crypto ??= webcrypto; // Node 18

export class FakeSocket {
  readyState = 0;
  sent = [];
  wasClosed = false;
  #listeners = new Map();

  addEventListener(type, listener) {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  send(data) {
    this.sent.push(JSON.parse(data));
  }

  close() {
    this.wasClosed = true;
    this.readyState = 3;
  }

  // The server and the network

  open() {
    this.readyState = 1;
    this.#tell('open', {});
  }

  say(...events) {
    this.sayRaw(JSON.stringify(events));
  }

  sayRaw(data) {
    this.#tell('message', { data });
  }

  /** Answer the newest command of this type. */
  answer(type, result) {
    this.say({ type: 'result', id: this.command(type).id, result });
  }

  refuse(type, error) {
    this.say({ type: 'error', id: this.command(type).id, error });
  }

  breakOff(code = 1006, reason = '') {
    this.readyState = 3;
    this.#tell('error', {});
    this.#tell('close', { code, reason });
  }

  command(type) {
    const command = this.sent.findLast((one) => one.type === type);
    if (!command) throw new Error(`no ${type} was sent`);
    return command;
  }

  #tell(type, event) {
    for (const listener of this.#listeners.get(type) ?? []) listener(event);
  }
}

export class FakeNetwork {
  sockets = [];
  #waiting = [];

  createSocket = () => {
    const socket = new FakeSocket();
    this.sockets.push(socket);
    this.#waiting.splice(0).forEach((resolve) => resolve(socket));
    return socket;
  };

  get latest() {
    return this.sockets.at(-1);
  }

  /** The next socket that the client makes. */
  next() {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

export function model(id, more = {}) {
  return { id, name: id, state: 'ready', progress: null, error: null, ...more };
}

export function welcome(more = {}) {
  return {
    protocol: 1,
    server: { name: 'sidestream', version: '0.1.0' },
    session: 's_1',
    resumed: false,
    models: [model('small'), model('large')],
    generations: [],
    ...more,
  };
}

/** Make a client with short waits, not connected yet. */
export function makeClient(options = {}) {
  const network = new FakeNetwork();
  const client = new SidestreamClient({
    url: 'ws://test/ws',
    createSocket: network.createSocket,
    minDelayMs: 1,
    maxDelayMs: 4,
    ...options,
  });
  return { client, network };
}

/** Make a client and answer its `hello`. */
export function connectedClient(options = {}, result = {}) {
  const { client, network } = makeClient(options);
  client.connect();
  greet(network.latest, result);
  return { client, network, socket: network.latest };
}

export function greet(socket, result = {}) {
  socket.open();
  socket.answer('hello', welcome(result));
}

/** Start one answer per model, with these ids. */
export async function generating(client, socket, generations) {
  const targets = Object.values(generations).map((id) => ({ model: id }));
  const promise = client.generate({ targets, prompt: 'Hello' });
  socket.answer('generate', { generations: Object.keys(generations) });
  return promise;
}

export const delta = (generation, seq, text, more = {}) => ({ type: 'delta', generation, seq, text, ...more });

export const end = (generation, seq, more = {}) => ({
  type: 'end',
  generation,
  seq,
  finish_reason: 'stop',
  usage: { prompt_tokens: 3, completion_tokens: seq },
  timings: { queued_ms: 1, ttft_ms: 20, total_ms: 90, tokens_per_second: 40 },
  ...more,
});
