import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RunSpeech } from '../../static/js/model/run-speech.js';

const run = (answered, more = {}) => ({ state: 'running', answered, total: 400, targets: [], ...more });

/** What is said of several states, each with its time in seconds and an error. */
function said(...states) {
  const speech = new RunSpeech();
  return states.map(([seconds, state, error = '']) => speech.next(state, error, seconds * 1000));
}

test('a run is told at its beginning, at each quarter and at its end', () => {
  assert.deepEqual(said([0, run(0)], [20, run(50)], [40, run(99)], [60, run(100)], [80, run(199)], [100, run(350)], [110, run(400, { state: 'done' })]), [
    'Running · 0 of 400 answers', null, null, 'Running · 100 of 400 answers', null, 'Running · 350 of 400 answers', 'Done · 400 answers',
  ]);
});

test('quarters that follow each other closely are left out, and told once it was silent for a while', () => {
  assert.deepEqual(said([0, run(0)], [5, run(100)], [14.9, run(200)], [15, run(201)], [29, run(300)], [31, run(301)]), [
    'Running · 0 of 400 answers', null, null, 'Running · 201 of 400 answers', null, 'Running · 301 of 400 answers',
  ]);
});

test('pauses and errors are told at once, an error once', () => {
  const error = 'Alpha: The model failed.';
  assert.deepEqual(said([0, run(10)], [1, run(11), error], [2, run(12), error], [3, run(12, { state: 'paused' }), error], [4, run(12), ''], [5, run(13), error]), [
    'Running · 10 of 400 answers', `Running · 11 of 400 answers. ${error}`, null, 'Paused · 12 of 400 answers', 'Running · 12 of 400 answers', `Running · 13 of 400 answers. ${error}`,
  ]);
});

test('what passed is told with the end', () => {
  const targets = [{ passed: 3, checked: 4 }, { passed: 1, checked: 4 }];
  assert.deepEqual(said([0, run(8, { total: 8, state: 'done', targets })]), ['Done · 8 answers · 4 of 8 passed']);
});

test('a run that is taken up again, and extended, is told by the quarters that it has then', () => {
  assert.deepEqual(said([0, run(390)], [30, run(399)], [60, run(400, { total: 800 })], [90, run(600, { total: 800 })]), [
    'Running · 390 of 400 answers', null, null, 'Running · 600 of 800 answers',
  ]);
});
