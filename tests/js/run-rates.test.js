import assert from 'node:assert/strict';
import { test } from 'node:test';

import { madeOf, rateWords, voterName, wonWords } from '../../static/js/model/run-rates.js';

const pairs = (wins, losses, ties, more = {}) => ({ wins, losses, ties, prompts: wins + losses, share: null, interval: null, inconsistent: 0, ...more });
const voter = (name, votes, blind = votes, isMe = false) => ({ name, is_me: isMe, votes, blind });

test('a share of pairs has its interval, and too few have none', () => {
  assert.equal(wonWords(null), '');
  assert.equal(wonWords(pairs(0, 0, 0)), '');
  assert.equal(wonWords(pairs(2, 1, 1)), '2.5 of 4 pairs, too few winners');
  assert.equal(wonWords(pairs(0, 1, 0)), '0 of 1 pair, too few winners');
  assert.equal(wonWords(pairs(12, 7, 1, { share: 0.625, interval: { low: 0.402, high: 0.803 } })), '63 % (40 to 80 %)');
  assert.equal(wonWords(pairs(0, 0, 2, { inconsistent: 2 })), '1 of 2 pairs, too few winners; contradicted itself in 2');
});

test('a judge says a mean grade of how many, or the pairs that were won', () => {
  const rate = { highest_grade: 5, grades: { mean: 3.8, interval: { low: 3.5, high: 4.1 } }, pairs: null };
  assert.equal(rateWords(rate), '3.80 of 5 (3.50 to 4.10)');
  assert.equal(rateWords({ ...rate, grades: { mean: 4, interval: null } }), '4.00 of 5');
  assert.equal(rateWords({ ...rate, grades: { mean: null, interval: null } }), '');
  assert.equal(rateWords({ ...rate, grades: null, pairs: pairs(1, 0, 0) }), '1 of 1 pair, too few winners');
  assert.equal(rateWords({ ...rate, grades: null, pairs: pairs(0, 0, 0) }), '');
});

test('votes are counted with who gave them, calmly where no key tells people apart', () => {
  assert.equal(madeOf([voter('', 1)]), '1 vote by 1 voter, blind');
  assert.equal(madeOf([voter('', 1, 0)]), '1 vote by 1 voter, not blind');
  assert.equal(madeOf([voter('', 3, 3, true)]), '3 votes by 1 voter, all of them blind');
  assert.equal(madeOf([voter('anna', 3, 0, true)]), '3 votes by you, none of them blind');
  assert.equal(madeOf([voter('anna', 1200, 2)]), '1,200 votes by anna, 2 of them blind');
  assert.equal(madeOf([voter('anna', 2, 2, true), voter('voter 2', 3, 1)]), '5 votes by 2 voters, 3 of them blind');
  assert.deepEqual([voter('anna', 1, 1, true), voter('ben', 1), voter('', 1, 1, true)].map(voterName), ['anna (you)', 'ben', 'Without a key']);
});
