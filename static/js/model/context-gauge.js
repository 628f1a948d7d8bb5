/** How full a model's context is. No DOM. */

/** @import { Model } from '../client/protocol.js' */
/** @import { Answer } from './answer.js' */

/** @typedef {{used: number, size: number, isNearlyFull: boolean}} Gauge In tokens. */

const NEARLY_FULL = 0.8;

/**
 * The context after the last of these answers that tells it; null if none does.
 *
 * @param {(Answer | null)[]} answers From the first to the last.
 * @param {Model | undefined} model Answers of another do not count.
 * @returns {Gauge | null}
 */
export function contextGauge(answers, model) {
  for (const answer of [...answers].reverse()) {
    if (!answer || answer.model !== model?.id) continue;
    const { error, usage } = answer;
    const refused = error?.code === 'prompt_too_long' ? /** @type {Record<string, any>} */ (error.details ?? {}) : {};
    const used = refused.prompt_tokens ?? (usage?.prompt_tokens != null ? usage.prompt_tokens + usage.completion_tokens : null);
    const size = refused.max_total_tokens ?? usage?.context_tokens ?? model.limits?.max_total_tokens;
    if (typeof used === 'number' && typeof size === 'number' && size > 0) return { used, size, isNearlyFull: used >= size * NEARLY_FULL };
  }
  return null;
}
