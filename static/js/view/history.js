/**
 * What is said to a model: its own earlier answers, so that each goes on with its own conversation.
 *
 * A turn that got no answer is left out with its prompt: models expect user and assistant to take
 * turns, and many chat templates refuse two prompts in a row.
 */

/** @import { Message } from '../client/protocol.js' */

/**
 * @param {Iterable<{prompt: string, answer: string}>} turns
 * @param {string} prompt
 * @returns {Message[]}
 */
export function messagesFor(turns, prompt) {
  /** @type {Message[]} */
  const messages = [];
  for (const { prompt: asked, answer } of turns) {
    if (answer.trim() === '') continue;
    messages.push({ role: 'user', content: asked }, { role: 'assistant', content: answer });
  }
  messages.push({ role: 'user', content: prompt });
  return messages;
}
