/** What a line of the scores is called. No DOM. */

import { describe } from '../model/parameters.js';

/** @import { Score } from '../client/votes.js' */

const MAX_SYSTEM = 40;

/** The model, and what its column had of its own. @param {Score} score @param {(model: string) => string} nameOf */
export function scoreName({ model, parameters, system }, nameOf) {
  const words = system && system.length > MAX_SYSTEM ? `${system.slice(0, MAX_SYSTEM)}…` : system;
  const own = [describe(parameters), words ? `system prompt “${words}”` : ''].filter(Boolean).join(' · ');
  return own ? `${nameOf(model)} (${own})` : nameOf(model);
}
