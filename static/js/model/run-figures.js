/** What the results table shows of a target's figures. No DOM. */

/** @import { Figures, FirstToken } from '../client/runs.js' */

/** The times to the first token: of warm answers, or of cold ones where there are no others. @param {Pick<Figures, 'first_token_warm' | 'first_token_cold'>} figures @returns {FirstToken & {isCold: boolean}} */
export function firstToken({ first_token_warm: warm, first_token_cold: cold }) {
  const isCold = warm.median === null && cold.median !== null;
  return { ...(isCold ? cold : warm), isCold };
}
