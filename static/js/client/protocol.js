/**
 * Types of the wire protocol, version 1; docs/PROTOCOL.md is normative.
 *
 * Unknown fields, events and codes may arrive; clients ignore them.
 */

export const PROTOCOL_VERSION = 1;

/** The kinds of text that this client tells from the answer. */
export const KINDS = Object.freeze(['reasoning', 'tool_call']);

/** Close codes after which connecting again cannot help (4401: the key was revoked). */
export const FINAL_CLOSE_CODES = Object.freeze([4401]);

/** Close codes for a frame that is no command, and for one that is too large: neither is sent again. */
export const CLOSE_BAD_FRAME = 4400;
export const CLOSE_TOO_LARGE = 1009;

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
 * What the server's settings say of a model, beside its parameters.
 *
 * @typedef {object} ModelConfig
 * @property {string} [system]
 * @property {string[]} [chosen] Those of its parameters that its own settings set.
 * @property {string} [weights] Where they are from.
 * @property {number} [price_in] US dollars for a million tokens of prompt.
 * @property {number} [price_out]
 * @property {number} [memory] What its server may take, in bytes.
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
 * @property {{chat: boolean, cancel: boolean, logprobs: boolean, load?: boolean, cost?: boolean, vision?: boolean}} capabilities `vision`: absent where it is not known.
 * @property {Parameters} parameters
 * @property {boolean} [outdated] Runs with settings that have changed since it was started.
 * @property {Parameters} [defaults] The server's own, for what nobody sets.
 * @property {ModelServer | null} [server] Null for our own.
 * @property {Record<string, string>} [details] What tells it from others.
 * @property {ModelConfig | null} [config]
 * @property {Replica[] | null} [replicas] Its servers, where there are several.
 */
/**
 * @typedef {{number: number, state: ModelState, address?: string, place?: string, progress?: Progress | null, error?: ModelError | null,
 *   answers?: number, max_concurrent?: number | null, outdated?: boolean}} Replica One of several servers of a model.
 */

/** @typedef {Record<string, unknown>} Parameters The generation parameters of TGI. */
/** @typedef {{type: 'text', text: string} | {type: 'image', attachment: string} | {type: 'file', attachment: string, name?: string}} ContentPart `attachment`: its id. */
/** @typedef {{role: 'system' | 'user' | 'assistant', content: string | ContentPart[]}} Message */
/** @typedef {{id: string, media_type: string, kind: 'image' | 'text', bytes: number, name: string, width?: number, height?: number}} Attachment `id`: the SHA-256 of its bytes. */
/**
 * @typedef {{model: string, parameters?: Parameters, system?: string, extra?: Record<string, unknown>, lenient?: boolean,
 *   column?: string, continues?: string, repeats?: string}} Target `extra`: for the model server as it is; `lenient`:
 *   without parameters it refuses; `column`, `continues`, `repeats`: of a stored answer.
 */
/** @typedef {'queued' | 'starting' | 'running'} GenerationState */
/** @typedef {'stop' | 'length' | 'cancelled' | 'failed' | 'interrupted'} FinishReason */
/** @typedef {{prompt_tokens: number | null, completion_tokens: number, estimated?: boolean, reasoning_tokens?: number | null, context_tokens?: number | null}} Usage `estimated`: pieces were counted in place of tokens; `reasoning_tokens`: those of the completion that were thinking; `context_tokens`: what both had to fit into. */
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
 * @property {number | null} [load_ms] while the server was seen to load the model; `ttft_ms` includes it
 * @property {number | null} [starting_ms] while the server itself started; `ttft_ms` includes it
 * @property {number | null} [reasoning_ms] when the model began to think
 * @property {number | null} [answer_ms] when the answer began, if something else came before it
 */

/** @typedef {{id: number, text: string, logprob: number | null, special?: boolean}} Alternative */
/** @typedef {{id: number, text: string, logprob: number | null, special: boolean, top?: Alternative[], kind?: Kind, mark?: boolean}} Token `top`: what the model weighed; `mark`: only begins or ends its kind. */
/** @typedef {'answer' | 'reasoning' | 'tool_call'} Kind */
/** @typedef {{index: number, id: string, name: string, arguments: string}} ToolCall `arguments`: JSON, as the model wrote it. */
/** @typedef {{index: number, name: string, id?: string | null}} CallSaid Which call more is said of. */

/**
 * @typedef {object} GenerationInfo
 * @property {string} id
 * @property {string} model
 * @property {GenerationState | 'ended'} state
 * @property {number} seq
 * @property {FinishReason | null} finish_reason
 * @property {Timings} [timings] So far, of one that goes on.
 * @property {string} [answer] The id of the stored answer.
 */

/** @typedef {{state: 'on' | 'off' | 'failing', error?: WireError}} StorageStatus */
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
 * @property {StorageStatus} [conversations] Whether conversations are stored.
 * @property {number} [max_frame_bytes] How large a frame of the client may be.
 */

/**
 * @typedef {object} GenerateOptions
 * @property {Target[]} targets
 * @property {Message[]} [messages]
 * @property {string} [prompt]
 * @property {Parameters} [parameters]
 * @property {boolean} [details]
 * @property {boolean} [fresh] Bypass the cache.
 * @property {'oldest_turns'} [trim] What to leave out of `messages` that a model's context cannot hold.
 * @property {RecordPlace} [record] Where the answers are stored.
 * @property {string} [request_id] The same means the same answers, within a session and within a conversation.
 */

/** @typedef {{type: 'result', id: number, result: unknown}} ResultEvent */
/** @typedef {{type: 'error', id?: number, error: WireError}} ErrorEvent */
/**
 * @typedef {{type: 'state', generation: string, state: GenerationState, position?: number | null, notice?: Notice | null,
 *   prompt_tokens?: number | null, context_tokens?: number | null, max_concurrent?: number | null,
 *   queue_timeout?: number | null}} StateEvent `max_concurrent`: how many answers the model's server writes at once;
 *   `queue_timeout`: after how many seconds one that waits is given up.
 */
/**
 * @typedef {{type: 'delta', generation: string, seq: number, text: string, tokens?: Token[],
 *   kind?: Kind, call?: CallSaid | null}} DeltaEvent
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
/** @typedef {{type: 'conversations', state: 'on' | 'failing', error?: WireError}} StorageStatusEvent */
/** @typedef {{type: 'run', run: import('./runs.js').Run}} RunEvent */
/** @typedef {{type: 'run_removed', run: string}} RunRemovedEvent */
/** @typedef {StateEvent | DeltaEvent | EndEvent} GenerationEvent */
/** @typedef {ResultEvent | ErrorEvent | GenerationEvent | ModelEvent | ModelsEvent | LogEvent | StorageStatusEvent | RunEvent | RunRemovedEvent} ServerEvent */

/** An error with a code of the protocol or of this client. */
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
