/** What the results table shows of a target's figures. No DOM. */

/** @import { Figures, FirstToken } from '../client/runs.js' */

/** The tokens of all answers, those that are counted: "1,204 in, 560 out, 80 of them thinking". @param {Pick<Figures, 'prompt_tokens' | 'completion_tokens' | 'reasoning_tokens' | 'tokens_are_estimated'>} figures */
export function tokenWords({ prompt_tokens: asked, completion_tokens: written, reasoning_tokens: thought, tokens_are_estimated: isEstimated }) {
  const words = [[asked, 'in'], [written, 'out'], [thought || null, 'of them thinking']];
  const counted = words.filter(([count]) => count !== null).map(([count, what]) => `${count?.toLocaleString('en')} ${what}`);
  return counted.length && isEstimated ? `about ${counted.join(', ')}` : counted.join(', ');
}

/** The times to the first token: of warm answers, or of cold ones where there are no others. @param {Pick<Figures, 'first_token_warm' | 'first_token_cold'>} figures @returns {FirstToken & {isCold: boolean}} */
export function firstToken({ first_token_warm: warm, first_token_cold: cold }) {
  const isCold = warm.median === null && cold.median !== null;
  return { ...(isCold ? cold : warm), isCold };
}
