import assert from 'node:assert/strict';
import { test } from 'node:test';

import { depthOf, isStep, runHash, runPlace, setHash, shownHash } from '../../static/js/model/run-address.js';

const nothing = { id: null, prompt: null, show: null, set: null };

test('an address names the list, a run, or a prompt of it as it is numbered for people', () => {
  assert.deepEqual(runPlace('#runs'), nothing);
  assert.deepEqual(runPlace('#run=r_1a'), { ...nothing, id: 'r_1a' });
  assert.deepEqual(runPlace('#run=r_1a&prompt=3'), { ...nothing, id: 'r_1a', prompt: 2 });
  for (const [id, prompt] of [[null, null], ['r_1', null], ['r_1', 0]]) assert.deepEqual(runPlace(runHash(id, prompt)), { ...nothing, id, prompt });
});

test('an address names what else is shown of a run, and what the list leads to', () => {
  for (const show of ['results', 'judges', 'vote']) assert.deepEqual(runPlace(shownHash('r_1', show)), { ...nothing, id: 'r_1', show });
  for (const show of ['leaderboard', 'sets', 'new']) assert.deepEqual(runPlace(shownHash(null, show)), { ...nothing, show });
  assert.deepEqual(runPlace(setHash('p_1')), { ...nothing, set: 'p_1' });
});

test('every other address is no run’s', () => {
  const others = ['', '#chat=c_1', '#run=', '#run=r_1&prompt=0', '#run=r_1&prompt=-1', '#run=r_1&prompt=x', '#run=../x', '#runsome', '#runs&show=results',
    '#run=r_1&show=leaderboard', '#run=r_1&show=', '#run=r_1&prompt=1&show=vote', '#runs&set=', '#runs&set=../x', '#runs&show=sets&set=p_1'];
  for (const other of others) assert.equal(runPlace(other), null, other);
});

test('going deeper is a step, and so is what is beside it, but not another prompt or going back', () => {
  const depths = ['#chat=c', '#runs', '#runs&show=sets', '#runs&set=p', '#run=r', '#run=r&prompt=2', '#run=r&show=vote'].map(depthOf);
  assert.deepEqual(depths, [0, 1, 2, 3, 2, 3, 3]);
  for (const [from, to] of [['', '#runs'], ['#runs', '#run=r'], ['#run=r', '#run=r&show=results'], ['#run=r&show=results', '#run=r&show=vote'], ['#runs&show=leaderboard', '#run=r']]) assert.equal(isStep(from, to), true);
  for (const [from, to] of [['#run=r&prompt=2', '#run=r&prompt=3'], ['#run=r&show=vote', '#run=r'], ['#runs&set=p', '#runs&show=sets'], ['#runs', '#runs'], ['#runs&show=new', '#run=r']]) assert.equal(isStep(from, to), false);
});
