import assert from 'node:assert/strict';
import { test } from 'node:test';

import { firstToken, tokenWords } from '../../static/js/model/run-figures.js';
import { passedWords, problemWords, progressWords, promptLines, rowsInView, slots, targetNames, targetWords, targetsOf } from '../../static/js/model/run-table.js';

const cell = (target, repeat, more = {}) => ({ prompt: 0, target, repeat, state: 'done', finish_reason: 'stop', ...more });

test('each target has a slot, also one without an answer', () => {
  const [first, second] = slots([cell(0, 0, { text: 'Paris', passed: true, total_ms: 120 })], 2);
  assert.deepEqual(first, { mark: 'passed', words: 'Passed', text: 'Paris', code: '', reason: '', ms: 120 });
  assert.deepEqual([second.mark, second.words, second.ms], ['waiting', 'Waiting', null]);
  assert.equal(slots([], 1, true)[0].words, 'Not asked');
});

test('a slot of repeats counts those that passed and shows one that did not', () => {
  const [slot] = slots([cell(0, 0, { text: 'Paris', passed: true, total_ms: 100 }), cell(0, 1, { text: 'Rome', passed: false, reason: 'no Paris', total_ms: 300 })], 1);
  assert.deepEqual(slot, { mark: 'failed', words: '1 of 2 passed', text: 'Rome', code: '', reason: 'no Paris', ms: 200 });
});

test('a mark tells answered from passed, failed, under way and what cannot be told', () => {
  const mark = (...cells) => slots(cells, 1)[0].mark;
  assert.equal(mark(cell(0, 0)), 'none');
  assert.equal(mark(cell(0, 0, { finish_reason: 'failed', code: 'model_failed' })), 'failed');
  assert.equal(mark(cell(0, 0, { passed: true }), cell(0, 1)), 'unsure');
  assert.equal(mark(cell(0, 0, { passed: false }), cell(0, 1, { state: 'waiting' })), 'waiting');
  assert.equal(mark(cell(0, 0, { state: 'asking' }), cell(0, 1, { state: 'waiting' })), 'asking');
});

test('alike targets are numbered', () => {
  const targets = [{ model: 'a', name: '' }, { model: 'a', name: '' }, { model: 'b', name: 'warm' }, { model: 'a', name: '' }];
  assert.deepEqual(targetNames(targets, (model) => model.toUpperCase()), ['A', 'A (2)', 'warm', 'A (3)']);
});

test('columns become targets with the parameters in force, but none in a blind round', () => {
  const workspace = {
    isSecret: false,
    settings: { parameters: { temperature: 0.2, top_p: 0.9 }, system: 'Be brief.' },
    columns: { asked: [{ model: 'a', parameters: { temperature: 1 }, system: null }, { model: 'b', parameters: {}, system: 'Rhyme.' }] },
    label: ({ model }) => model.toUpperCase(),
  };
  assert.deepEqual(targetsOf(workspace), [
    { model: 'a', parameters: { temperature: 1, top_p: 0.9 }, system: 'Be brief.', name: 'A' },
    { model: 'b', parameters: { temperature: 0.2, top_p: 0.9 }, system: 'Rhyme.', name: 'B' },
  ]);
  assert.deepEqual(targetsOf({ ...workspace, isSecret: true }), []);
});

test('the rows in view are those between the edges, some more, and never beyond the ends', () => {
  const view = { height: 100, rowHeight: 20, total: 1000, more: 2 };
  assert.deepEqual(rowsInView({ ...view, top: 0 }), [0, 7]);
  assert.deepEqual(rowsInView({ ...view, top: 210 }), [8, 18]);
  assert.deepEqual(rowsInView({ ...view, top: 19_950 }), [995, 1000]);
  assert.deepEqual(rowsInView({ ...view, top: 500, total: 3 }), [3, 3]);
});

test('a run is told in words', () => {
  assert.equal(progressWords({ answered: 12, total: 4000 }), '12 of 4,000 answers');
  assert.equal(progressWords({ answered: 1, total: 1 }), '1 answer');
  assert.equal(passedWords([{ passed: 1, checked: 2 }, { passed: 2, checked: 2 }]), '3 of 4 passed');
  assert.equal(passedWords([{ passed: 0, checked: 0 }]), '');
  assert.equal(targetWords({ answered: 3, failed: 1, passed: 1, checked: 3 }, { prompts: 2, repeats: 2 }), '3 of 4 · 1 of 3 passed · 1 failed');
});

test('a problem has the places that are known, and empty lines are no prompts', () => {
  assert.equal(problemWords({ message: 'is empty', row: 3, column: 'prompt' }), 'line 3, column `prompt`: is empty');
  assert.equal(problemWords({ message: 'is empty', row: null, column: null }), 'is empty');
  assert.deepEqual(promptLines('One\r\n\n  \nTwo {{x}}\n'), ['One', 'Two {{x}}']);
});

test('the first token of a target that answered only cold is shown as cold', () => {
  const none = { count: 0, median: null, p95: null };
  const some = { count: 2, median: 1200, p95: 2400 };
  assert.deepEqual(firstToken({ first_token_warm: none, first_token_cold: some }), { ...some, isCold: true });
  assert.deepEqual(firstToken({ first_token_warm: some, first_token_cold: { ...some, median: 9 } }), { ...some, isCold: false });
  assert.deepEqual(firstToken({ first_token_warm: none, first_token_cold: none }), { ...none, isCold: false });
});

test('tokens are told as far as they are counted', () => {
  const figures = { prompt_tokens: 1204, completion_tokens: 560, reasoning_tokens: 80, tokens_are_estimated: false };
  assert.equal(tokenWords(figures), '1,204 in, 560 out, 80 of them thinking');
  assert.equal(tokenWords({ ...figures, prompt_tokens: null, reasoning_tokens: null, tokens_are_estimated: true }), 'about 560 out');
  assert.equal(tokenWords({ ...figures, prompt_tokens: null, completion_tokens: null, reasoning_tokens: null }), '');
});
