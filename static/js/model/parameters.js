/** The generation parameters that the page offers: their names, and what holds where nobody sets them. No DOM. */

/** @import { Model, Parameters } from '../client/protocol.js' */

/** @typedef {{value: unknown, whose: string}} Held */

/** What people call a parameter, by its name in the protocol. @type {Record<string, string>} */
export const LABELS = {
  temperature: 'Temperature',
  top_p: 'Top-p',
  top_k: 'Top-k',
  min_p: 'Min-p',
  max_new_tokens: 'Max tokens',
  reasoning: 'Thinking',
  repetition_penalty: 'Repetition penalty',
  presence_penalty: 'Presence penalty',
  seed: 'Seed',
  stop: 'Stop sequences',
};

/** Remove parameters that are not set. @param {Parameters} parameters @returns {Parameters} */
export function tidy(parameters) {
  return Object.fromEntries(Object.entries(parameters).filter(([, value]) => value != null));
}

/** Remove parameters that the page does not offer; the server stores more of them. @param {Parameters} parameters @returns {Parameters} */
export function offered(parameters) {
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => Object.hasOwn(LABELS, name)));
}

/** Return the value of a parameter that holds for a model, and who set it; null if that is not known. @param {string} name @param {Model} model @returns {Held | null} */
export function held(name, { config, defaults, parameters }) {
  if (parameters?.[name] != null) {
    // An older server does not tell which the section of the model sets.
    const isOwn = config === undefined || config?.chosen?.includes(name);
    return { value: parameters[name], whose: isOwn ? 'set by the model' : 'the gateway’s setting' };
  }
  return defaults?.[name] == null ? null : { value: defaults[name], whose: 'the server’s default' };
}

/** Describe parameters in a line: "Temperature 0.2 · Seed 7". @param {Parameters} parameters */
export function describe(parameters) {
  return Object.entries(parameters).map(([name, value]) =>
    `${LABELS[name] ?? name} ${Array.isArray(value) ? value.map((one) => JSON.stringify(one)).join(' ') : value}`).join(' · ');
}
