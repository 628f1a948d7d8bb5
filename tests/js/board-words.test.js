import assert from 'node:assert/strict';
import { test } from 'node:test';

import { counted, expectedWins, intervalWords, percent, placeWords, recordWords, standingWords, variantWords, voterWords, votesWords } from '../../static/js/model/board-words.js';

const rank = (model, best, worst, more = {}) => ({ model, places: [best, worst], interval: [-1, 1], group: 0, ...more });
const name = (model) => model.toUpperCase();

test('strengths are shown as how often a model would win', () => {
  assert.equal(percent(expectedWins(0)), '50 %');
  assert.equal(percent(expectedWins(Math.log(3))), '75 %');
  assert.equal(intervalWords([0.484, 0.736]), '48 to 74 %');
});

test('models that cannot be told apart share their places', () => {
  assert.equal(placeWords(rank('a', 1, 1)), '1');
  assert.equal(placeWords(rank('a', 1, 3)), '1 to 3');
});

test('nobody is ahead unless the interval says so', () => {
  assert.match(standingWords([rank('a', 1, 1), rank('b', 2, 2)], name), /^A is ahead/);
  assert.match(standingWords([rank('a', 1, 2), rank('b', 1, 2)], name), /^Nobody is ahead for sure/);
  assert.match(standingWords([rank('a', 1, 2, { interval: null }), rank('b', 1, 2)], name), /^Too few prompts/);
  assert.equal(standingWords([rank('a', 1, 1)], name), '');
  assert.equal(standingWords([rank('a', 1, 1), rank('b', 1, 1, { group: 1 })], name), '');
});

test('what counts and what does not is said', () => {
  assert.equal(votesWords({ votes: 1, other_votes: 0, same_model: 0 }), '1 blind vote counts.');
  assert.equal(votesWords({ votes: 1200, other_votes: 2, same_model: 1 }),
    '1,200 blind votes count; 2 votes by people who saw the names do not; 1 pair of answers by one model says nothing.');
  assert.equal(recordWords({ wins: 3, losses: 1, ties: 1 }), '3 won, 1 lost, 1 tie');
  assert.equal(voterWords({ voter: '0123456789abcdef', is_me: false, votes: 2, other_votes: 1 }), 'Key 012345…: 2 blind votes, 1 not blind');
  assert.equal(voterWords({ voter: 'voter 12', is_me: false, votes: 1, other_votes: 0 }), 'Voter 12: 1 blind vote');
  assert.equal(voterWords({ voter: 'local', is_me: true, votes: 1, other_votes: 0 }), 'You: 1 blind vote');
  assert.equal(counted(0, 'run'), '0 runs');
});

test('what is counted as one model is named', () => {
  assert.equal(variantWords({ parameters: {}, system: null, runs: 1, rounds: 0 }), 'as the settings say (1 run)');
  const words = variantWords({ parameters: { temperature: 0.5 }, system: 'x'.repeat(50), runs: 2, rounds: 1 });
  assert.match(words, /0\.5 · system prompt “x{40}…” \(2 runs, 1 vote on a chat\)$/);
});
