import assert from 'node:assert/strict';
import { test } from 'node:test';

import { asMarkdown, asTsv, headings, summarize } from '../../static/js/model/chat-summary.js';
import { Conversation } from '../../static/js/model/conversation.js';
import { Answer } from '../../static/js/model/answer.js';

const COLUMNS = [{ id: 'a', name: 'Alpha' }, { id: 'b', name: 'Beta | 2' }];

/** An answer that has ended. */
function answered({ ttft = 200, total = 2_000, tokens = 10, speed = 40, start = null, cost = null, ...more } = {}) {
  return new Answer({
    model: 'm', text: 'Yes.', finishReason: 'stop', cost: cost === null ? null : { amount: cost },
    usage: { prompt_tokens: 3, completion_tokens: tokens },
    timings: { queued_ms: start ?? 0, ttft_ms: ttft + (start ?? 0), total_ms: total, tokens_per_second: speed, starting_ms: start },
    ...more,
  });
}

/** @param {Record<string, Answer>[]} turns */
function chat(...turns) {
  const conversation = new Conversation();
  for (const answers of turns) {
    const turn = conversation.add('Why?');
    for (const [column, answer] of Object.entries(answers)) conversation.addAnswer(turn, column, answer);
  }
  return conversation;
}

test('medians and totals are over the answers of a column, without starts', () => {
  const { path } = chat(
    { a: answered({ ttft: 100, start: 11_000, total: 12_000, tokens: 10, speed: 50, cost: 0.5 }), b: answered({ tokens: 7 }) },
    { a: answered({ ttft: 300, total: 3_000, tokens: 20, speed: 20, cost: 0.25 }) },
    { a: answered({ ttft: 200, total: 1_000, tokens: 60, speed: 30, cost: 1 }) },
    { a: answered({ ttft: 400, total: 2_000, tokens: 10, speed: 40, cost: 1 }) },
  );
  const [a, b] = summarize(path, COLUMNS);
  assert.equal(a.answers, 4);
  assert.deepEqual(a.ttftMs, { median: 250, total: 1_000 });
  assert.equal(a.startMs.total, 11_000);
  assert.deepEqual(a.tokensPerSecond, { median: 35, total: null });
  assert.deepEqual(a.tokens, { median: 15, total: 100 });
  assert.deepEqual(a.totalMs, { median: 2_500, total: 18_000 });
  assert.deepEqual(a.cost, { median: 0.75, total: 2.75 });
  assert.equal(a.isCostEstimated, false);
  assert.deepEqual([b.answers, b.tokens.total, b.cost.total], [1, 7, null]);
});

test('what failed, is cached or still written does not count, and is told', () => {
  const failed = new Answer({ model: 'm', finishReason: 'failed', error: { code: 'internal', message: 'no' } });
  const { path } = chat(
    { a: failed }, { a: answered({ isCached: true }) }, { a: new Answer({ model: 'm' }) },
    { a: answered({ finishReason: 'cancelled', usage: { prompt_tokens: 1, completion_tokens: 4, estimated: true } }) },
  );
  const [a, b] = summarize(path, COLUMNS);
  assert.deepEqual([a.answers, a.failed, a.cached, a.live, a.isEstimated], [1, 1, 1, 1, true]);
  assert.equal(a.tokens.total, 4);
  assert.deepEqual([b.answers, b.ttftMs.median], [0, null]);
});

test('only the branch that is shown counts', () => {
  const conversation = chat({ a: answered({ tokens: 5 }) });
  conversation.addAnswer(conversation.add('Other?', { parent: null }), 'a', answered({ tokens: 9 }));
  assert.equal(summarize(conversation.path, COLUMNS)[0].tokens.total, 9);
});

test('a table has the columns that tell something, in Markdown and for a spreadsheet', () => {
  const { path } = chat({ a: answered({ total: 2_345 }), b: answered({ cost: 0.0012 }) });
  const rows = summarize(path, COLUMNS);
  const names = headings(rows).map(({ name }) => name);
  assert.equal(names.includes('Starts, total'), false);
  assert.equal(names.includes('Cost, total'), true);
  assert.equal(asTsv(rows), [
    'Model\tAnswers\tFirst token, median (s)\tSpeed, median (tokens/s)\tTokens, median\tTokens, total\tTime, median (s)\tTime, total (s)\tCost, median (US$)\tCost, total (US$)',
    'Alpha\t1\t0.2\t40\t10\t10\t2.345\t2.345\t\t',
    'Beta | 2\t1\t0.2\t40\t10\t10\t2\t2\t0.0012\t0.0012',
    '',
  ].join('\n'));
  assert.equal(asMarkdown([['Model', 'Answers'], ['Beta | 2', '1'], ['two\nlines\\', '≈2']]),
    '| Model | Answers |\n| --- | ---: |\n| Beta \\| 2 | 1 |\n| two lines\\\\ | ≈2 |\n');
});
