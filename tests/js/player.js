/**
 * Recorded dialogues (tests/conversations): a server and a program that play their parts.
 *
 * After each frame the server waits until the client has read it: it sends a WebSocket ping, whose
 * pong comes after everything before it. So every replay is the same.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';

import { WebSocket, WebSocketServer } from 'ws';

import { SidestreamClient } from '../../static/js/client/client.js';
import { followRuns } from '../../static/js/client/run-following.js';

const FOLDER = new URL('../conversations/', import.meta.url);

export const NAMES = readdirSync(FOLDER).filter((name) => name.endsWith('.jsonl'))
  .map((name) => name.replace('.jsonl', ''));

export function load(name) {
  const text = readFileSync(new URL(`${name}.jsonl`, FOLDER), 'utf8');
  return text.trimEnd().split('\n').map((line) => JSON.parse(line));
}

/** An asynchronous queue. */
class Arrivals {
  #here = [];
  #waiting = [];

  put(one) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(one);
    else this.#here.push(one);
  }

  next() {
    if (this.#here.length > 0) return Promise.resolve(this.#here.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

export class Player {
  #server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  #arrivals = new Arrivals();
  #current = null;
  #frames = new Arrivals();
  #ids = new Map();
  #requestIds = new Map();

  constructor() {
    this.#server.on('connection', (socket) => this.#arrivals.put(socket));
  }

  async url() {
    if (!this.#server.address()) await new Promise((resolve) => this.#server.on('listening', resolve));
    return `ws://127.0.0.1:${this.#server.address().port}/ws`;
  }

  /** Play a dialogue; return the expected state of the client. */
  async play(steps, program) {
    for (const [index, step] of steps.entries()) {
      const [[kind, what]] = Object.entries(step);
      try {
        if (kind === 'do') program.do(...what);
        else if (kind !== 'about' && kind !== 'expect') await this.#step(kind, what);
      } catch (error) {
        error.message = `line ${index + 1}: ${error.message}`;
        throw error;
      }
    }
    return steps.at(-1).expect;
  }

  close() {
    for (const socket of this.#server.clients) socket.terminate();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  async #step(kind, what) {
    if (!this.#current) {
      this.#current = await this.#arrivals.next();
      this.#frames = new Arrivals();
      const frames = this.#frames;
      this.#current.on('message', (data) => frames.put(JSON.parse(data)));
    }
    const socket = this.#current;
    if (kind === 'client') {
      this.#match(what, await this.#frames.next());
    } else if (kind === 'server') {
      socket.send(JSON.stringify(what.map((event) => this.#translate(event))));
      const pong = new Promise((resolve) => socket.once('pong', resolve));
      socket.ping();
      await pong;
    } else {
      this.#current = null;
      if (kind === 'cut') socket.terminate();
      else socket.close(what);
    }
  }

  /** Assert that the client sends the recorded frame, whatever its ids. */
  #match({ id, request_id, ...wanted }, { id: saidId, request_id: saidRequestId, ...said }) {
    assert.deepEqual(said, wanted);
    if (!this.#ids.has(id)) this.#ids.set(id, saidId);
    assert.equal(saidId, this.#ids.get(id), 'the same command has the same id');
    if (!this.#requestIds.has(request_id)) this.#requestIds.set(request_id, saidRequestId);
    assert.equal(saidRequestId, this.#requestIds.get(request_id), 'and the same request id');
  }

  #translate(event) {
    return this.#ids.has(event.id) ? { ...event, id: this.#ids.get(event.id) } : event;
  }
}

/** The program's part, done with the page's client. */
export class Program {
  #commands = [];
  #generations = [];
  #read = [];
  #heard = new Map();
  #readings = [];
  #logs = [];
  #runs = [];

  /** @param {string} url @param {object[]} steps Their first `hello` says what the program knows. */
  constructor(url, steps) {
    const { kinds = [] } = steps.find(({ client }) => client)?.client ?? {};
    this.client = new SidestreamClient({
      url,
      kinds,
      createSocket: (address) => new WebSocket(address),
      minDelayMs: 10,
      maxDelayMs: 50,
    });
    this.client.on('generation', (generation) => {
      this.#heard.set(generation, '');
      generation.on('delta', ({ text }) => {
        this.#heard.set(generation, this.#heard.get(generation) + text);
      });
    });
  }

  /** Start a step, without waiting for its end. */
  do(verb, what) {
    const { client } = this;
    if (verb === 'connect') client.connect();
    else if (verb === 'generate') this.#command(this.#generate(what));
    else if (verb === 'cancel') this.#command(client.cancel(what?.map((index) => this.#generations[index])));
    else if (verb === 'start') this.#command(client.start(what));
    else if (verb === 'stop') this.#command(client.stop(what));
    else if (verb === 'use') this.#command(client.use(what));
    else if (verb === 'ping') this.#command(client.ping());
    else if (verb === 'logs') this.#readLog(what);
    else if (verb === 'follow_runs') this.#follow(what);
    else if (verb === 'leave') this.#readings[what].close();
    else throw new Error(`what is ${verb}?`);
  }

  /** Wait for all steps; return the client's state in the form of `expect`. */
  async outcome() {
    const commands = await Promise.all(this.#commands);
    for (const [index, generation] of this.#generations.entries()) {
      assert.equal(this.#heard.get(generation), generation.text, 'who listens hears the same');
      if (generation.isLive) continue;
      assert.equal(await this.#read[index], generation.text, 'who iterates gets the same');
      await generation.ended;
    }
    return {
      generations: this.#generations.map((generation) => {
        const { model, text, finishReason, error } = generation;
        return { model, text, finish_reason: finishReason, error: error?.code ?? null, ...remarksOf(generation) };
      }),
      commands,
      models: Object.fromEntries([...this.client.models].map(([id, { state }]) => [id, state])),
      logs: this.#logs,
      ...(this.#runs.length > 0 && { runs: this.#runs }),
    };
  }

  #command(promise) {
    this.#commands.push(promise.then(() => 'ok', ({ code }) => code));
  }

  async #generate(fields) {
    const begun = await this.client.generate(fields);
    this.#generations.push(...begun);
    this.#read.push(...begun.map(textOf));
  }

  #readLog({ model, tail, follow }) {
    const reading = this.client.logs(model, { tail, follow });
    const lines = [];
    this.#readings.push(reading);
    this.#logs.push(lines);
    (async () => {
      for await (const { text } of reading) lines.push(text);
    })().catch((error) => assert.equal(error.code, reading.error.code));
  }

  #follow(runs) {
    const reading = followRuns(this.client, runs);
    const told = [];
    this.#readings.push(reading);
    this.#runs.push(told);
    (async () => {
      for await (const { id, state, answered } of reading) told.push([id, state, answered]);
    })().catch((error) => assert.equal(error.code, reading.error.code));
  }
}

/** What a server says of few answers. */
function remarksOf({ reasoning, toolCalls, notices, details, answeredBy, cost, usage }) {
  const remarks = { reasoning, tool_calls: toolCalls, notices: notices.map(({ code }) => code), details, answered_by: answeredBy, cost: cost?.amount, estimated: usage?.estimated };
  const isSaid = (value) => (typeof value === 'object' ? Object.keys(value).length > 0 : value);
  return Object.fromEntries(Object.entries(remarks).filter(([, value]) => isSaid(value)));
}

async function textOf(generation) {
  let text = '';
  try {
    for await (const piece of generation) text += piece;
  } catch (error) {
    assert.equal(error.code, generation.error?.code ?? 'interrupted');
  }
  return text;
}
