/**
 * The figures of a whole chat, a row per column: medians and totals. No DOM.
 *
 * Of each column the answers on the branch that is shown count, each as it is shown. An answer that
 * is still written counts not yet; one that failed, or came from the cache, has no figures of the
 * model. Times to the first token are without the starts of servers, which have a column of their own.
 */

/** @import { Turn } from './conversation.js' */

/** @typedef {{median: number | null, total: number | null}} Figure */
/**
 * @typedef {object} ColumnSummary
 * @property {string} name
 * @property {number} answers Those that count.
 * @property {number} failed
 * @property {number} cached
 * @property {number} live
 * @property {Figure} startMs
 * @property {Figure} queueMs
 * @property {Figure} ttftMs
 * @property {Figure} tokensPerSecond
 * @property {Figure} tokens
 * @property {Figure} totalMs
 * @property {Figure} cost In US dollars.
 * @property {boolean} isEstimated Whether some tokens were not counted by their server.
 * @property {boolean} isCostEstimated Whether some costs are computed, or unknown.
 */

/** @param {Turn[]} path @param {{id: string, name: string}[]} columns @returns {ColumnSummary[]} */
export function summarize(path, columns) {
  return columns.map(({ id, name }) => {
    const answers = path.flatMap((turn) => turn.answer(id) ?? []);
    const ended = answers.filter(({ isLive }) => !isLive);
    const failed = ended.filter(({ finishReason, text, said }) => finishReason === 'failed' && !text && !said);
    const cached = ended.filter(({ isCached }) => isCached);
    const counted = ended.filter((answer) => !failed.includes(answer) && !answer.isCached);
    const metrics = counted.map((answer) => answer.metrics);
    const costs = counted.flatMap(({ cost }) => cost ?? []);
    return {
      name, answers: counted.length, failed: failed.length, cached: cached.length, live: answers.length - ended.length,
      startMs: figure(metrics.map(({ startMs }) => startMs)),
      queueMs: figure(metrics.map(({ queueMs }) => queueMs)),
      ttftMs: figure(metrics.map(({ ttftMs }) => ttftMs)),
      tokensPerSecond: { ...figure(metrics.map(({ tokensPerSecond }) => tokensPerSecond)), total: null },
      tokens: figure(metrics.map(({ tokens }) => tokens)),
      totalMs: figure(metrics.map(({ totalMs }) => totalMs)),
      cost: figure(costs.map(({ amount }) => amount)),
      isEstimated: metrics.some(({ isEstimated }) => isEstimated),
      isCostEstimated: costs.length < counted.length || costs.some(({ estimated }) => estimated),
    };
  });
}

/** @param {(number | null)[]} values Null: unknown. @returns {Figure} */
function figure(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  if (known.length === 0) return { median: null, total: null };
  const middle = (known.length - 1) / 2;
  return {
    median: (known[Math.floor(middle)] + known[Math.ceil(middle)]) / 2,
    total: known.reduce((sum, value) => sum + value, 0),
  };
}

/**
 * @typedef {object} Heading
 * @property {string} name
 * @property {string} unit Of what a spreadsheet gets.
 * @property {(row: ColumnSummary) => number | null} value
 * @property {'time' | 'rate' | 'count' | 'cost'} kind
 * @property {number} [per] What a spreadsheet's number is divided by.
 */

/** @type {Heading[]} */
const HEADINGS = [
  { name: 'Answers', unit: '', kind: 'count', value: ({ answers }) => answers },
  { name: 'First token, median', unit: 's', kind: 'time', per: 1000, value: ({ ttftMs }) => ttftMs.median },
  { name: 'Starts, total', unit: 's', kind: 'time', per: 1000, value: ({ startMs }) => startMs.total },
  { name: 'Queue, total', unit: 's', kind: 'time', per: 1000, value: ({ queueMs }) => queueMs.total },
  { name: 'Speed, median', unit: 'tokens/s', kind: 'rate', value: ({ tokensPerSecond }) => tokensPerSecond.median },
  { name: 'Tokens, median', unit: '', kind: 'count', value: ({ tokens }) => tokens.median },
  { name: 'Tokens, total', unit: '', kind: 'count', value: ({ tokens }) => tokens.total },
  { name: 'Time, median', unit: 's', kind: 'time', per: 1000, value: ({ totalMs }) => totalMs.median },
  { name: 'Time, total', unit: 's', kind: 'time', per: 1000, value: ({ totalMs }) => totalMs.total },
  { name: 'Cost, median', unit: 'US$', kind: 'cost', value: ({ cost }) => cost.median },
  { name: 'Cost, total', unit: 'US$', kind: 'cost', value: ({ cost }) => cost.total },
];
/** Less is not worth a column. */
const LEAST_MS = 95;

/** The columns of the table: those that tell something of these rows. @param {ColumnSummary[]} rows */
export function headings(rows) {
  const tells = (/** @type {Heading} */ { name, value }) => {
    const least = name.startsWith('Starts') || name.startsWith('Queue') ? LEAST_MS : 0;
    return rows.some((row) => (value(row) ?? -1) >= least);
  };
  return HEADINGS.filter((heading) => heading.kind === 'count' || tells(heading));
}

/** As a table in Markdown. @param {string[][]} cells The first row has the headings, the first column the names. */
export function asMarkdown(cells) {
  const line = (/** @type {string[]} */ row) => `| ${row.map((cell) => cell.replace(/[\\|]/g, '\\$&').replace(/\s+/g, ' ')).join(' | ')} |`;
  const [head, ...rows] = cells;
  const rule = head.map((_, index) => (index ? '---:' : '---'));
  return `${[line(head), line(rule), ...rows.map(line)].join('\n')}\n`;
}

/** For a spreadsheet: values separated by tabs, plain numbers, units in the headings. @param {ColumnSummary[]} rows */
export function asTsv(rows) {
  const shown = headings(rows);
  const number = (/** @type {number | null} */ value, per = 1) => (value === null ? '' : String(Number((value / per).toPrecision(6))));
  const head = ['Model', ...shown.map(({ name, unit }) => (unit ? `${name} (${unit})` : name))];
  const lines = rows.map((row) => [row.name.replace(/\s+/g, ' '), ...shown.map(({ per, value }) => number(value(row), per))]);
  return `${[head, ...lines].map((line) => line.join('\t')).join('\n')}\n`;
}
