/**
 * A client of Sidestream: commands as promises, models and generations as live objects.
 *
 * - Every connection begins with `hello`, with the session and the number of deltas received of each
 *   known generation. The server continues from there: nothing is lost and nothing is doubled.
 * - Unanswered commands outlive the connection: they are sent again after the next `hello`.
 * - If the session cannot be resumed, its live generations end as `interrupted`, and so does one that
 *   the server no longer has.
 */

import { randomId } from './commands.js';
import { Connection, notConnected } from './connection.js';
import { Emitter } from './emitter.js';
import { Generation, Generations } from './generation.js';
import { LogReading } from './logs.js';
import { KINDS } from './protocol.js';

/** @import { ConnectionOptions, ConnectionState } from './connection.js' */
/** @import { ErrorEvent, GenerateOptions, HelloResult, Model, ResultEvent, ServerEvent, StorageStatus, WireError } from './protocol.js' */

/**
 * @typedef {object} ClientEvents
 * @property {ConnectionState} connection
 * @property {Model[]} models The whole list: after each `hello`, and when some have come or gone.
 * @property {Model} model
 * @property {Generation} generation One that is new here.
 * @property {StorageStatus} conversations Whether conversations are stored: after each `hello`, and on change.
 * @property {WireError} fault An error that belongs to no command.
 * @property {{type: string}} event One for a module that is loaded late, or from a newer server.
 */

/** @extends {Emitter<ClientEvents>} */
export class SidestreamClient extends Emitter {
  /** @type {Connection} */
  #connection;
  #paceMs;
  #kinds;
  /** @type {Set<LogReading>} */
  #readings = new Set();
  /** @type {string | null} */
  #unfollowed = null;

  /** @type {Map<string, Model>} In the server's order. */
  models = new Map();
  /** Those of the present session. */
  generations = new Generations();
  /** @type {string | null} */
  session = null;
  /** @type {{name: string, version: string} | null} */
  server = null;
  /** @type {StorageStatus} Whether conversations are stored. */
  conversations = { state: 'off' };

  /**
   * @param {ConnectionOptions & {session?: string | null, known?: Record<string, number>, paceMs?: number, kinds?: readonly string[]}} options
   *   `session`: one to go on with; `known`: how many deltas of its generations are here already;
   *   `paceMs`: how far apart events may come, for a page that shows them no more often;
   *   `kinds`: what to tell from the answer, the rest comes as text of it.
   */
  constructor({ session = null, known = {}, paceMs = 0, kinds = KINDS, ...options }) {
    super();
    this.#paceMs = paceMs;
    this.#kinds = kinds;
    this.session = session;
    for (const [id, seq] of Object.entries(known)) this.generations.add(new Generation(id, '', seq));
    this.#connection = new Connection(options, () => this.#greeting());
    this.#connection.on('welcome', (result) => this.#welcome(result));
    this.#connection.on('event', (event) => this.#receive(event));
    this.#connection.on('fault', (error) => this.emit('fault', error));
    this.#connection.on('state', (state) => this.#follow(state));
  }

  get connection() {
    return this.#connection.state;
  }

  /** The name of a model, or its id while it is unknown. @param {string} model */
  nameOf(model) {
    return this.models.get(model)?.name ?? model;
  }

  // Actions

  /** Connect and stay connected; ends the wait for the next attempt. */
  connect() {
    this.#connection.open();
  }

  /** Hang up. Unanswered commands reject, live generations end as `interrupted`. */
  close() {
    this.#connection.close('closed by this client');
  }

  /**
   * Have every target answer; return the generations in the order of `targets`.
   *
   * @param {GenerateOptions} options
   * @returns {Promise<Generation[]>}
   */
  async generate(options) {
    /** @type {Generation[]} */
    let generations = [];
    await this.#connection.run('generate', { request_id: randomId(), ...options }, {
      onResult: (result) => {
        generations = result.generations.map((/** @type {string} */ id, /** @type {number} */ index) =>
          this.#generation(id, options.targets[index]?.model ?? '', result.answers?.[index]));
      },
    });
    return generations;
  }

  /** Cancel these generations; without an argument all live ones. @param {Generation[]} [generations] */
  async cancel(generations) {
    // One that has ended here may have left its id to another, of a newer session.
    const ids = generations?.filter(({ isLive }) => isLive).map(({ id }) => id);
    if (ids?.length === 0) return;
    await this.#connection.run('cancel', ids && { generations: ids }, { scope: 'session' });
  }

  /** Start a model; `model` events tell its progress. @param {string} model */
  async start(model) {
    const onResult = (/** @type {{model: Model}} */ result) => this.#receiveModel(result.model);
    await this.#connection.run('start', { model }, { onResult });
  }

  /** Stop a model; `model` events tell its progress. @param {string} model */
  async stop(model) {
    const onResult = (/** @type {{model: Model}} */ result) => this.#receiveModel(result.model);
    await this.#connection.run('stop', { model }, { onResult });
  }

  /** Restart a model's servers one after the other; `model` events tell the progress. @param {string} model */
  async restart(model) {
    const onResult = (/** @type {{model: Model}} */ result) => this.#receiveModel(result.model);
    await this.#connection.run('restart', { model }, { onResult });
  }

  /** Use a server that was found on the server's machine; its models follow. @param {string} server Its name. */
  async use(server) {
    await this.#connection.run('use', { server });
  }

  /**
   * Read the last `tail` lines of a model server's log, then new ones if `follow`; over breaks of
   * the connection without a line twice.
   *
   * @param {string} model
   * @param {{tail?: number, follow?: boolean}} [options]
   */
  logs(model, { tail = 200, follow = true } = {}) {
    const reading = new LogReading(model, { tail, follow }, () => this.#leave(reading));
    this.#readings.add(reading);
    this.#subscribe(reading);
    return reading;
  }

  /** Return when the server has answered. */
  async ping() {
    await this.run('ping');
  }

  /** Run a command that a module which is loaded late has. @param {string} type @param {object} [fields] */
  run(type, fields) {
    return this.#connection.run(type, fields);
  }

  // Internal

  #greeting() {
    return {
      ...(this.session !== null && { session: this.session, cursors: this.generations.cursors }),
      ...(this.#paceMs > 0 && { pace_ms: this.#paceMs }),
      ...(this.#kinds.length > 0 && { kinds: this.#kinds }),
    };
  }

  /** @param {HelloResult} result */
  #welcome({ server, session, resumed, models, generations, conversations }) {
    this.server = server;
    if (!resumed) this.#leaveSession();
    this.session = session;
    this.models = new Map(models.map((model) => [model.id, model]));
    const known = new Set(generations.map(({ id }) => id));
    const message = 'The server no longer keeps this answer; what had been written is kept here.';
    this.generations.interruptAllBut(known, { code: 'session_lost', message });
    const atMs = performance.now();
    for (const { id, model, answer, state, timings } of generations) {
      const generation = this.#generation(id, model, answer);
      if (timings && generation.isLive && state !== 'ended') generation.resume(state, timings, atMs);
    }
    this.#receiveKeeping(conversations ?? { state: 'off' });
    this.emit('models', models);
    for (const reading of this.#readings) {
      // One without a subscription has its command on the way, or sent again.
      if (reading.subscription !== null) this.#subscribe(reading);
    }
  }

  #leaveSession() {
    const message = 'The server no longer knows this session; what had been written is kept here.';
    this.generations.interruptAllBut(new Set(), { code: 'session_lost', message });
    this.generations.clear(); // the next session may give the same ids again
  }

  /** @param {ConnectionState} state */
  #follow(state) {
    this.emit('connection', state);
    if (state.name !== 'closed') return;
    const error = notConnected(state.reason);
    this.generations.interruptAllBut(new Set(), error);
    for (const reading of this.#readings) reading.fail(error);
  }

  /** @param {LogReading} reading */
  #subscribe(reading) {
    reading.subscription = null;
    const onResult = (/** @type {{subscription: string}} */ { subscription }) => {
      reading.begin(subscription);
      if (reading.isOver) this.#leave(reading);
    };
    this.#connection.run('logs', reading.command, { onResult }).catch((error) => reading.fail(error));
  }

  /** @param {LogReading} reading */
  #leave(reading) {
    this.#readings.delete(reading);
    const { subscription } = reading;
    if (subscription === null || this.connection.name !== 'connected') return;
    // It cannot fail in a way that matters: what ends the connection ends the subscription.
    this.#connection.run('unsubscribe', { subscription }, { scope: 'socket' }).catch(() => {});
  }

  /** @param {Exclude<ServerEvent, ResultEvent | ErrorEvent>} event */
  #receive(event) {
    switch (event.type) {
      case 'delta':
      case 'state':
      case 'end':
        this.#generation(event.generation).receive(event);
        break;
      case 'model':
        this.#receiveModel(event.model);
        break;
      case 'models':
        this.#receiveModels(event.models);
        break;
      case 'log':
        for (const reading of this.#readings) {
          if (reading.subscription === event.subscription) reading.receive(event);
        }
        break;
      case 'conversations':
        this.#receiveKeeping(event);
        break;
      default:
        if (event.type === 'run' && !this.hears('event')) this.#unfollow();
        this.emit('event', event);
    }
  }

  /** Follow no runs any more: an earlier page of this session did, and was left. */
  #unfollow() {
    if (this.#unfollowed === this.session) return;
    this.#unfollowed = this.session;
    this.run('follow_runs', { runs: [] }).catch(() => {});
  }

  /** @param {Model[]} models */
  #receiveModels(models) {
    this.models = new Map(models.map((model) => [model.id, model]));
    this.emit('models', models);
  }

  /** @param {Model} model */
  #receiveModel(model) {
    this.models.set(model.id, model);
    this.emit('model', model);
  }

  /** @param {StorageStatus} keeping */
  #receiveKeeping({ state, error }) {
    this.conversations = { state, error };
    this.emit('conversations', this.conversations);
  }

  /**
   * The one with this id, made if need be.
   *
   * @param {string} id
   * @param {string} [model]
   * @param {string | null} [answer] The id of the stored answer.
   */
  #generation(id, model = '', answer = null) {
    let generation = this.generations.get(id);
    if (!generation) {
      generation = new Generation(id, model);
      this.generations.add(generation);
      this.emit('generation', generation);
    }
    generation.model ||= model;
    generation.answer ??= answer;
    return generation;
  }
}
