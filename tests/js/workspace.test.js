import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Columns } from '../../static/js/model/columns.js';
import { FIELDS, read, write } from '../../static/js/model/parameter-fields.js';
import { describe } from '../../static/js/model/parameters.js';
import { letter, shuffled } from '../../static/js/model/rounds.js';
import { Sentences } from '../../static/js/model/sentences.js';
import { model } from './fake_socket.js';

const field = (name) => FIELDS.find((one) => one.name === name);
const ids = (columns) => columns.shown.map(({ id }) => id).join(' ');

function columnsOf(...models) {
  const columns = new Columns();
  for (const id of models) columns.add(id);
  return columns;
}

test('the first two models that can run are selected, until something was chosen', () => {
  const models = [model('broken', { state: 'failed' }), model('a'), model('b', { state: 'stopped' }), model('c')];
  const settled = (kept, wasChosen = kept !== null) => {
    const columns = new Columns();
    columns.restore(kept);
    columns.settle(models, wasChosen);
    return columns.all.map((column) => column.model);
  };
  assert.deepEqual(settled(null), ['a', 'b']);
  assert.deepEqual(settled([{ id: 'x', model: 'c' }, { id: 'a', model: 'a' }, { id: 'y', model: 'gone' }]), ['c', 'a']);
  assert.deepEqual(settled([{ id: 'x', model: 'broken' }]), ['broken'], 'chosen is chosen');
  assert.deepEqual(settled([]), [], 'none is a choice too');
  assert.deepEqual(settled([{ id: 'x', model: 'gone' }]), ['a', 'b']);
  assert.deepEqual(settled('nonsense'), []);
  assert.deepEqual(settled([null, 3, { id: 1 }], false), ['a', 'b']);
});

test('a model may have several columns, whose ids stay theirs', () => {
  const columns = columnsOf('org/model.gguf', 'b');
  const [first] = columns.all;
  columns.change(first.id, { parameters: { seed: 1 } });
  const second = columns.add('org/model.gguf', columns.get(first.id));
  assert.equal(ids(columns), 'org_model_gguf org_model_gguf_2 b');
  assert.deepEqual(second.parameters, { seed: 1 }, 'a copy begins as its original is');
  assert.deepEqual(columns.all.map((column) => columns.number(column)), [1, 2, 0]);
  columns.change('org_model_gguf', { model: 'b' });
  columns.remove('b');
  columns.add('b');
  assert.equal(ids(columns), 'org_model_gguf org_model_gguf_2 b');
  columns.choose('b', false);
  assert.equal(ids(columns), 'org_model_gguf_2', 'deselecting takes all of a model');
});

test('the columns of a round that is open stay, and what is chosen meanwhile waits for its end', () => {
  const columns = columnsOf('a', 'b', 'c');
  const chosen = () => columns.chosen.map(({ id }) => id).join(' ');
  let isOpen = true;
  columns.isHeld = () => isOpen;
  columns.choose('b', false);
  columns.choose('d', true);
  assert.equal(ids(columns), 'a b c');
  assert.equal(chosen(), 'a c d');
  columns.arrange(['c', 'b', 'a']);
  columns.change('a', { isHidden: true });
  columns.release();
  assert.equal(ids(columns), 'c b', 'it is still open');
  assert.equal(chosen(), 'c a d', 'where it was moved to');
  assert.deepEqual(columns.asked.map(({ id }) => id), ['c', 'b']);
  isOpen = false;
  assert.equal(ids(columns), 'c b', 'what was voted on is still to be seen');
  assert.deepEqual(columns.asked.map(({ id }) => id), ['c', 'd']);
  columns.release();
  assert.equal(ids(columns), 'c d');
  assert.equal(columns.isWaiting, false);
  isOpen = true;
  columns.choose('c', false);
  assert.equal(columns.isWaiting, true);
  columns.choose('c', true);
  assert.equal(columns.isWaiting, false, 'it is as it was');
  columns.choose('d', false);
  isOpen = false;
  columns.choose('e', true);
  assert.equal(ids(columns), 'c e', 'both at once');
});

test('columns are put into order by dragging, by steps and by a shuffle', () => {
  const columns = columnsOf('a', 'b', 'c', 'd');
  columns.moveTo('a', 'c');
  assert.equal(ids(columns), 'b c a d');
  columns.moveTo('d', 'b');
  assert.equal(ids(columns), 'd b c a');
  columns.change('b', { isHidden: true });
  columns.move('c', -1);
  assert.equal(ids(columns), 'c d a', 'past what is hidden');
  columns.move('c', -1);
  columns.move('a', 1);
  assert.equal(ids(columns), 'c d a', 'the ends are ends');
  columns.reveal();
  columns.arrange(['d', 'c', 'b', 'a']);
  assert.equal(ids(columns), 'd c b a');
});

test('what is typed becomes a parameter, or it is said why not', () => {
  assert.equal(read(field('temperature'), ' 0,7 '), 0.7);
  assert.equal(read(field('seed'), ''), null);
  assert.deepEqual(['off', ' High ', '200', ''].map((text) => read(field('reasoning'), text)), ['off', 'high', 200, null]);
  assert.deepEqual(read(field('stop'), 'End\n\n\\n\\n'), ['End', '\n\n']);
  assert.equal(write(['End', '\n\n']), 'End\n\\n\\n');
  assert.equal(write(0.7) + write(undefined), '0.7');
  const refused = [['temperature', 'warm'], ['top_p', '1.5'], ['top_k', '2.5'], ['max_new_tokens', '0'], ['stop', 'a\nb\nc\nd\ne'], ['reasoning', 'loud'], ['reasoning', '0'], ['reasoning', '1.5']];
  for (const [name, text] of refused) assert.throws(() => read(field(name), text), RangeError, name);
  assert.equal(describe({ temperature: 0.2, stop: ['\n'], odd: 1 }), 'Temperature 0.2 · Stop sequences "\\n" · odd 1');
});

test('a shuffle keeps everyone, and depends on chance only', () => {
  const draws = [0.9, 0, 0.5];
  assert.deepEqual(shuffled(['a', 'b', 'c', 'd'], () => draws.shift()), ['c', 'b', 'a', 'd']);
  assert.deepEqual(['a', 'b', 'c'].map((_, index) => letter(index)), ['A', 'B', 'C']);
});

test('sentences are heard when they are whole, in every cut', () => {
  const text = 'It is 3.14 m. “Really?” she said.\n1. First\n最後です。次';
  const whole = ['It is 3.14 m.', '“Really?”', 'she said.', '1.', 'First', '最後です。', '次'];
  for (const size of [1, 2, 5, 100]) {
    const sentences = new Sentences();
    const heard = [];
    for (let at = 0; at < text.length; at += size) heard.push(...sentences.add(text.slice(at, at + size)));
    assert.deepEqual([...heard, sentences.end()], whole, `in pieces of ${size}`);
  }
  assert.equal(new Sentences().add('word '.repeat(200)).length, 1, 'what does not end is not waited for');
});
