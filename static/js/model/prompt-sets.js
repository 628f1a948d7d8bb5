/** Prompt sets on the page: how they are shown, written as text, and made of a chat. No DOM. */

/** @import { Stored, StoredAnswer, StoredTurn } from '../client/conversations.js' */
/** @import { FileForm, PromptItem, PromptSet, SetLook, WholeSet } from '../client/runs.js' */

/** @typedef {{prompt: string} | {messages: {role: string, content: string}[]}} ChatPrompt */

/** @param {number} count @param {string} word */
export function counted(count, word) {
  return `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;
}

/** "12 prompts · 3 versions". @param {Pick<PromptSet, 'prompts' | 'versions'>} set */
export function setWords({ prompts, versions }) {
  return [counted(prompts, 'prompt'), versions > 1 ? counted(versions, 'version') : ''].filter(Boolean).join(' · ');
}

/** What was found in a file: "3 prompts, one a line · UTF-8", "3 prompts · 2 checks · columns between ;". @param {SetLook} look */
export function lookWords({ prompts, checks, encoding, delimiter, form }) {
  return [
    counted(prompts, 'prompt') + (form === 'lines' ? ', one a line' : ''),
    checks ? counted(checks, 'check') : '',
    { 'cp1252': 'Windows-1252', 'utf-8-sig': 'UTF-8' }[encoding] ?? encoding.toUpperCase(),
    delimiter === null ? '' : `columns between ${delimiter === '\t' ? 'tabs' : delimiter}`,
  ].filter(Boolean).join(' · ');
}

/** That nothing is checked, '' where something is. @param {Pick<SetLook, 'checks' | 'expected'>} look */
export function checkWords({ checks, expected }) {
  if (checks) return '';
  const unused = expected ? `${counted(expected, 'prompt')} ${expected === 1 ? 'has' : 'have'} \`expected\`, and no check compares it with the answers. ` : '';
  return `No checks: nothing passes or fails. ${unused}Judges and votes can still compare.`;
}

/** What a file is by the ending of its name. @param {string} name @returns {FileForm} */
export function formOf(name) {
  const [, ending = ''] = /\.(\w+)$/.exec(name.toLowerCase()) ?? [];
  return /** @type {Record<string, FileForm>} */ ({ txt: 'lines', md: 'lines', csv: 'csv', tsv: 'csv', jsonl: 'jsonl', ndjson: 'jsonl' })[ending] ?? 'auto';
}

/** What a prompt of a set asks: the last words of a dialogue, or the template with its variables. @param {Pick<WholeSet, 'template'>} set @param {PromptItem} item */
export function askedWords({ template }, { messages, variables = {} }) {
  if (messages?.length) return messages[messages.length - 1].content;
  return template.replace(/(\\)?\{\{([^{}\n]*[^{}\s][^{}\n]*)\}\}|\\(?=\{\{)/g, (whole, escape, name) =>
    (name === undefined || escape ? whole.slice(1) : variables[name.trim()] ?? ''));
}

/** A set as one prompt a line, null where it has more than that. @param {WholeSet} set @returns {string | null} */
export function plainLines({ template, system, checks, items }) {
  if (template !== '{{prompt}}' || system || checks.length) return null;
  const isPlain = items.every(({ variables = {}, ...more }) =>
    Object.keys(more).length === 0 && Object.keys(variables).length === 1 && /^[^\r\n]*\S[^\r\n]*$/.test(variables.prompt ?? ''));
  return isPlain ? items.map(({ variables }) => variables?.prompt).join('\n') : null;
}

/** Sets whose name or tags have all words that are searched for. @template {Pick<PromptSet, 'name' | 'tags'>} T @param {T[]} sets @param {string} search @returns {T[]} */
export function setsWith(sets, search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return sets.filter(({ name, tags }) => {
    const said = [name, ...tags].join(' ').toLowerCase();
    return words.every((word) => said.includes(word));
  });
}

/** Tags between commas, each once. @param {string} text */
export function tagsIn(text) {
  return [...new Set(text.split(',').map((tag) => tag.trim()).filter(Boolean))];
}

/**
 * The prompts of a chat's shown branch, each with what was said before it: as its first column asked it. System
 * prompts are left out, since targets have their own; prompts with attachments, which no set has, are counted.
 *
 * @param {Stored} stored In full.
 * @returns {{prompts: ChatPrompt[], left: number}}
 */
export function chatPrompts({ turns, answers, messages, view }) {
  /** @type {ChatPrompt[]} */
  const prompts = [];
  let left = 0;
  for (const turn of branch(turns, view?.leaf)) {
    const asked = askedAt(turn, answers).map((place) => messages[place]).filter((one) => one && one.role !== 'system');
    const said = asked.at(-1)?.role === 'user' ? asked : [{ role: 'user', content: turn.text }];
    if (turn.attachments?.length || said.some(({ content }) => typeof content !== 'string' || !content)) left += 1;
    else if (said.length === 1) prompts.push({ prompt: /** @type {string} */ (said[0].content) });
    else prompts.push({ messages: said.map(({ role, content }) => ({ role, content: /** @type {string} */ (content) })) });
  }
  return { prompts, left };
}

/** The prompts as a file, and as lines where each is one. @param {ChatPrompt[]} prompts @returns {{lines: string | null, file: string}} */
export function promptFile(prompts) {
  const plain = prompts.map((one) => ('prompt' in one && /^[^\r\n]*\S[^\r\n]*$/.test(one.prompt) ? one.prompt : null));
  return {
    lines: plain.includes(null) ? null : plain.join('\n'),
    file: prompts.map((one) => `${JSON.stringify(one)}\n`).join(''),
  };
}

/** @param {StoredTurn[]} turns @param {string | null} [leaf] */
function branch(turns, leaf) {
  const all = new Map(turns.map((turn) => [turn.id, turn]));
  /** @type {StoredTurn[]} */
  const path = [];
  for (let turn = all.get(leaf ?? '') ?? turns.at(-1); turn && !path.includes(turn); turn = all.get(turn.parent ?? '')) path.unshift(turn);
  return path;
}

/** Places of the messages that a turn's first answer was asked with; one that goes on was asked with its own beginning. @param {StoredTurn} turn @param {StoredAnswer[]} answers */
function askedAt({ id }, answers) {
  return answers.find(({ turn, continues }) => turn === id && !continues)?.asked ?? [];
}

/** Whether a file that begins so is an exported run. @param {string} head */
export function isExportedRun(head) {
  return head.startsWith('{"format":"sidestream-run"');
}

/** What an exported run has behind its prompts. */
const OUTCOMES = ['answer', 'judge', 'judgement', 'vote'].map((kind) => `{"kind":"${kind}"`);

/** An exported run without answers and judgements, which may be more than a server takes; lines keep their numbers. @param {string} text */
export function withoutOutcomes(text) {
  return text.split('\n').filter((line) => !OUTCOMES.some((kind) => line.startsWith(kind))).join('\n');
}
