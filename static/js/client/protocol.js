/**
 * The words of the wire protocol, version 1, as types; the text that binds is docs/PROTOCOL.md.
 *
 * Fields, events and codes that are not named here may arrive: readers ignore what they don't know.
 */

export const PROTOCOL_VERSION = 1;

/** Close codes after which connecting again cannot help (4401: the key was revoked). */
export const FINAL_CLOSE_CODES = Object.freeze([4401]);

/**
 * What a client finds out by itself, beside the codes that the server sends:
 * `connection_closed`: this client was closed, or stopped trying to connect;
 * `session_lost`: the server no longer knows the session that the answer belonged to;
 * `protocol_mismatch`: the server speaks another version of the protocol.
 *
 * @typedef {'connection_closed' | 'session_lost' | 'protocol_mismatch'} ClientErrorCode
 */

/**
 * @typedef {'invalid_command' | 'unknown_type' | 'unknown_model' | 'unknown_generation'
 *   | 'invalid_parameters' | 'prompt_too_long' | 'model_failed' | 'engine_overloaded'
 *   | 'engine_error' | 'engine_timeout' | 'engine_limited' | 'queue_full' | 'rate_limited' | 'forbidden'
 *   | 'session_limit' | 'shutting_down' | 'internal'} ServerErrorCode
 */

/** @typedef {{code: string, message: string, hint?: string | null, details?: unknown}} WireError */

/**
 * @typedef {'stopped' | 'pulling' | 'starting' | 'loading' | 'ready' | 'stopping' | 'failed'
 *   } ModelState
 */

/**
 * @typedef {object} Progress
 * @property {string} phase
 * @property {number | null} fraction From 0 to 1; null while it cannot be known.
 * @property {string} text
 * @property {number | null} eta_seconds
 */

/** @typedef {{code: string, message: string, hint?: string | null}} ModelError */

/**
 * The server of somebody else that a model is on.
 *
 * @typedef {object} ModelServer
 * @property {string} address
 * @property {string} [name] What `use` takes; none for a model with a server of its own.
 * @property {string} [model] The server's own name of the model.
 * @property {string} [dialect]
 * @property {string} [flavour]
 * @property {boolean | null} [loaded] Whether it is in memory there.
 * @property {number | null} [seen] When the server last answered, in seconds since 1970.
 * @property {boolean} [found] It was found on this machine, and is not in use yet.
 */

/**
 * @typedef {object} Model
 * @property {string} id
 * @property {string} name
 * @property {string} description
 * @property {string} runner
 * @property {string} engine
 * @property {ModelState} state
 * @property {Progress | null} progress
 * @property {ModelError | null} error
 * @property {number} running
 * @property {number} waiting
 * @property {Record<string, unknown>} limits
 * @property {{chat: boolean, cancel: boolean, logprobs: boolean, load?: boolean, cost?: boolean}} capabilities
 * @property {Parameters} parameters
 * @property {boolean} [outdated] Runs with settings that have changed since it was started.
 * @property {Parameters} [defaults] The server's own, for what nobody sets.
 * @property {ModelServer | null} [server] Null for our own.
 * @property {Record<string, string>} [details] What tells it from others.
 */

/** @typedef {Record<string, unknown>} Parameters The generation parameters of TGI. */
/** @typedef {{role: 'system' | 'user' | 'assistant', content: string}} Message */
/**
 * @typedef {{model: string, parameters?: Parameters, system?: string, extra?: Record<string, unknown>, lenient?: boolean,
 *   column?: string, continues?: string, repeats?: string}} Target `extra`: for the model server as it is; `lenient`:
 *   without what it refuses; `column`, `continues`, `repeats`: of an answer that is kept.
 */
/** @typedef {'queued' | 'starting' | 'running'} GenerationState */
/** @typedef {'stop' | 'length' | 'cancelled' | 'failed' | 'interrupted'} FinishReason */
/** @typedef {{prompt_tokens: number | null, completion_tokens: number, estimated?: boolean}} Usage `estimated`: pieces were counted in place of tokens. */
/** @typedef {{code: string, message: string, details?: Record<string, any> | null}} Notice A remark about an answer. */
/** @typedef {{amount: number, estimated?: boolean}} Cost In US dollars; `estimated`: computed from set prices. */

/**
 * Milliseconds from the command's arrival, on the server's clock; the rate is over the decode phase.
 *
 * @typedef {object} Timings
 * @property {number | null} queued_ms
 * @property {number | null} ttft_ms
 * @property {number | null} total_ms
 * @property {number | null} tokens_per_second
 * @property {number} [load_ms] while the server was seen to load the model; `ttft_ms` includes it
 */

/** @typedef {{id: number, text: string, logprob: number | null, special?: boolean}} Alternative */
/** @typedef {{id: number, text: string, logprob: number | null, special: boolean, top?: Alternative[]}} Token `top`: what the model weighed. */

/**
 * @typedef {object} GenerationInfo
 * @property {string} id
 * @property {string} model
 * @property {string} state
 * @property {number} seq
 * @property {FinishReason | null} finish_reason
 * @property {string} [answer] The id under which it is kept.
 */

/** @typedef {{state: 'on' | 'off' | 'failing', error?: WireError}} Keeping */
/**
 * @typedef {{conversation: string, turn: string, parent?: string | null, history?: string | null
 *   }} RecordPlace
 */

/**
 * @typedef {object} HelloResult
 * @property {number} protocol
 * @property {{name: string, version: string}} server
 * @property {string} session
 * @property {boolean} resumed
 * @property {Model[]} models
 * @property {GenerationInfo[]} generations
 * @property {Keeping} [conversations] Whether conversations are kept.
 */

/**
 * @typedef {object} GenerateOptions
 * @property {Target[]} targets
 * @property {Message[]} [messages]
 * @property {string} [prompt]
 * @property {Parameters} [parameters]
 * @property {boolean} [details]
 * @property {boolean} [fresh] No answer that was kept for the same question.
 * @property {RecordPlace} [record] Where in which conversation the answers are kept.
 * @property {string} [request_id] The same means the same answers, within a session.
 */

/** @typedef {{type: 'result', id: number, result: unknown}} ResultEvent */
/** @typedef {{type: 'error', id?: number, error: WireError}} ErrorEvent */
/**
 * @typedef {{type: 'state', generation: string, state: GenerationState, position?: number | null, notice?: Notice | null}
 *   } StateEvent
 */
/**
 * @typedef {{type: 'delta', generation: string, seq: number, text: string, tokens?: Token[]}
 *   } DeltaEvent
 */
/**
 * @typedef {{type: 'end', generation: string, seq: number, finish_reason: FinishReason,
 *   usage?: Usage | null, timings?: Timings | null, error?: WireError | null, cached?: boolean,
 *   notices?: Notice[], details?: Record<string, any>, answered_by?: string, cost?: Cost | null
 *   }} EndEvent
 */
/** @typedef {{type: 'model', model: Model}} ModelEvent */
/** @typedef {{type: 'models', models: Model[]}} ModelsEvent */
/** @typedef {{time: number, stream: string, text: string}} LogLine `time` in seconds since 1970. */
/** @typedef {{type: 'log', subscription: string, lines: LogLine[], ended?: boolean}} LogEvent */
/** @typedef {{type: 'conversations', state: 'on' | 'failing', error?: WireError}} KeepingEvent */
/** @typedef {StateEvent | DeltaEvent | EndEvent} GenerationEvent */
/** @typedef {ResultEvent | ErrorEvent | GenerationEvent | ModelEvent | ModelsEvent | LogEvent | KeepingEvent} ServerEvent */

/** An error with the code that the server, or this client, gave it. */
export class SidestreamError extends Error {
  /** @param {WireError} error */
  constructor({ code, message, hint, details }) {
    super(message);
    this.name = 'SidestreamError';
    this.code = code;
    this.hint = hint ?? null;
    this.details = details;
  }
}
