/** What is known of a model, as lines of a name and a text. No DOM. */

import { LABELS, held } from '../model/parameters.js';
import { lastSeen } from './servers.js';
import { capital, runsOn, tokens } from './labels.js';

/** @import { Model, Replica } from '../client/protocol.js' */

/** @typedef {[name: string, text: string]} Fact */

/** @type {Record<string, string>} */
const DIALECTS = { openai: 'OpenAI’s', tgi: 'TGI’s', ollama: 'Ollama’s' };
const GIGABYTE = 1e9;

/** Return the facts of a model that are known. @param {Model} model @param {number} nowMs @returns {Fact[]} */
export function facts(model, nowMs) {
  const { capabilities, config, details, engine, id, limits, replicas, running, server, waiting } = model;
  const { parameters, quantization, ...others } = details ?? {};
  const { dialect = '', flavour = '' } = server ?? {};
  /** @type {[string, string | undefined | false][]} */
  const all = [
    ['Id', id],
    ['Called there', server?.model],
    ['Weights', config?.weights],
    ['Server', server && !replicas ? [server.name, server.address].filter(Boolean).join(' at ') : ''],
    ['Runs', server ? '' : runsOn({ ...model, engine: '' })],
    ['Engine', engine],
    ['Dialect', dialect && [`${DIALECTS[dialect] ?? dialect} API`, flavour !== dialect && flavour].filter(Boolean).join(', ')],
    ['Parameters', parameters],
    ['Quantization', quantization],
    ...Object.entries(others).map(([name, text]) => /** @type {[string, string]} */ ([capital(name.replaceAll('_', ' ')), text])),
    ['Context', context(limits)],
    ['Longest prompt', count(limits.max_input_tokens)],
    ['At once', limits.max_concurrent ? `${limits.max_concurrent} answers` : ''],
    ['Now', running + waiting > 0 && `${running} running, ${waiting} waiting`],
    ['Pictures', capabilities.vision === undefined ? '' : capabilities.vision ? 'yes' : 'no'],
    ['Memory', config?.memory ? `${(config.memory / GIGABYTE).toFixed(1)} GB` : ''],
    ['Price', price(model)],
    ...(replicas ?? []).map((one) => /** @type {[string, string]} */ ([`Replica ${one.number}`, replicaLine(one)])),
    ['Last seen', server ? capital(lastSeen(model, nowMs).replace('last seen ', '')) : ''],
  ];
  return all.flatMap(([name, text]) => (text ? [/** @type {Fact} */ ([name, text])] : []));
}

/** Return the parameters that hold where nobody sets any, and who set each. @param {Model} model @returns {Fact[]} */
export function standing(model) {
  return Object.entries(LABELS).flatMap(([name, label]) => {
    const one = held(name, model);
    if (!one) return [];
    const value = Array.isArray(one.value) ? one.value.map((text) => JSON.stringify(text)).join(' ') : String(one.value);
    return [/** @type {Fact} */ ([label, `${value}, ${one.whose}`])];
  });
}

/** Say how one of several servers of a model is. @param {Replica} replica */
function replicaLine({ address = '', answers = 0, error, max_concurrent: most, outdated, place, state }) {
  const busy = state === 'ready' && `${answers}${most ? ` of ${most}` : ''} answers`;
  return [state, busy, outdated && 'older settings', place && `on ${place}`, address.replace(/^https?:\/\//, ''), error?.message].filter(Boolean).join(' · ');
}

/** @param {Model['limits']} limits */
function context({ max_total_tokens: inForce, model_context: longest }) {
  if (!inForce) return longest ? `not known; at most ${count(longest)}` : '';
  return longest && longest !== inForce ? `${count(inForce)}; the model could have ${Number(longest).toLocaleString('en')}` : count(inForce);
}

/** @param {unknown} number */
function count(number) {
  return number ? tokens(Number(number)) : '';
}

/** @param {Model} model */
function price({ capabilities, config }) {
  const { price_in: into, price_out: out } = config ?? {};
  const parts = [into == null ? '' : `$${into} for a million tokens of prompt`, out == null ? '' : `$${out} for a million tokens of answer`];
  return parts.filter(Boolean).join(', ') || (capabilities.cost ? 'its answers cost money; how much is not known' : '');
}
