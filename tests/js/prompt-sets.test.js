import assert from 'node:assert/strict';
import { test } from 'node:test';

import { askedWords, chatPrompts, checkWords, formOf, isExportedRun, lookWords, plainLines, promptFile, setWords, setsWith, tagsIn, withoutOutcomes } from '../../static/js/model/prompt-sets.js';
import { EVERY_ROW, RunOrder, matchingWords, placeWords } from '../../static/js/model/run-order.js';

const rows = (...prompts) => prompts.map((prompt) => ({ prompt, text: '', cells: [] }));
const never = () => assert.fail('nothing has to be read');

test('without a choice the next prompt is the next of the set', async () => {
  const order = new RunOrder();
  assert.equal(await order.step(0, 1, 2, never), 1);
  assert.equal(await order.step(1, 1, 2, never), null);
  assert.equal(await order.step(0, -1, 2, never), null);
  assert.deepEqual([order.isAtEnd(0, -1, 2), order.isAtEnd(0, 1, 2), order.isAtEnd(1, 1, 2)], [true, false, true]);
  assert.equal(matchingWords(order, 2), '');
  assert.equal(placeWords(order, 1), '');
});

test('with a choice the next prompt is the next that matches, also one that was not read', async () => {
  const order = new RunOrder();
  order.choose({ ...EVERY_ROW, show: 'failed', search: ' x ' });
  assert.equal(order.choice.search, 'x');
  assert.equal(matchingWords(order, 1000), '');
  order.note(0, rows(7, 3), 3);
  assert.equal(matchingWords(order, 1000), '3 of 1,000 prompts');
  assert.equal(placeWords(order, 3), '2 of 3 shown');
  assert.equal(await order.step(7, 1, 1000, never), 3);
  assert.equal(await order.step(7, -1, 1000, never), null);
  const asked = [];
  assert.equal(await order.step(3, 1, 1000, async (first) => (asked.push(first), { rows: rows(5), matching: 3 })), 5);
  assert.deepEqual(asked, [2]);
  assert.equal(await order.step(5, 1, 1000, async () => ({ rows: [], matching: 3 })), null);
  assert.deepEqual([order.isAtEnd(7, -1, 1000), order.isAtEnd(7, 1, 1000), order.isAtEnd(5, 1, 1000)], [true, false, true]);
  // One that does not match, opened by its address, stands among all.
  assert.equal(await order.step(100, 1, 1000, never), 101);
  order.note(0, [], 0);
  assert.equal(matchingWords(order, 1000), 'None of 1,000 prompts');
  assert.equal(matchingWords(order, 1), 'None of 1 prompt');
  order.choose(EVERY_ROW);
  assert.equal(order.placeOf(9), 9);
});

test('a set is told in words, and found by its name and its tags', () => {
  assert.equal(setWords({ prompts: 1, versions: 1 }), '1 prompt');
  assert.equal(setWords({ prompts: 1200, versions: 3 }), '1,200 prompts · 3 versions');
  assert.equal(lookWords({ prompts: 2, checks: 1, encoding: 'cp1252', delimiter: '\t', form: 'csv' }), '2 prompts · 1 check · Windows-1252 · columns between tabs');
  assert.equal(lookWords({ prompts: 2, checks: 0, encoding: 'utf-8-sig', delimiter: null, form: 'jsonl' }), '2 prompts · UTF-8');
  assert.equal(lookWords({ prompts: 8, checks: 0, encoding: 'utf-8', delimiter: null, form: 'lines' }), '8 prompts, one a line · UTF-8');
  const sets = [{ name: 'Capitals', tags: ['easy'] }, { name: 'Rivers', tags: ['hard', 'maps'] }];
  assert.deepEqual(setsWith(sets, 'MAPS riv').map(({ name }) => name), ['Rivers']);
  assert.equal(setsWith(sets, ' ').length, 2);
  assert.deepEqual(tagsIn(' a, b c ,,a'), ['a', 'b c']);
});

test('a file is what the ending of its name says, and that nothing is checked is told', () => {
  const found = ['a.txt', 'A.MD', 'a.b.csv', 'a.tsv', 'a.jsonl', 'a.ndjson', 'a.json', 'csv', ''].map(formOf);
  assert.deepEqual(found, ['lines', 'lines', 'csv', 'csv', 'jsonl', 'jsonl', 'auto', 'auto', 'auto']);
  assert.equal(checkWords({ checks: 1, expected: 3 }), '');
  assert.match(checkWords({ checks: 0, expected: 0 }), /^No checks: nothing passes or fails\. Judges/);
  assert.match(checkWords({ checks: 0, expected: 1 }), /1 prompt has `expected`, and no check/);
});

test('a prompt of a set is shown as it is asked', () => {
  const template = 'Of {{ country }}? \\{{ {{missing}}';
  assert.equal(askedWords({ template }, { variables: { country: '{{x}} $&' } }), 'Of {{x}} $&? {{ ');
  assert.equal(askedWords({ template }, { messages: [{ role: 'user', content: 'Hi' }, { role: 'user', content: 'Last' }] }), 'Last');
});

test('a set is written as lines only where it is nothing else', () => {
  const plain = { template: '{{prompt}}', system: '', checks: [], items: [{ variables: { prompt: 'One' } }, { variables: { prompt: ' Two' } }] };
  assert.equal(plainLines(plain), 'One\n Two');
  assert.equal(plainLines({ ...plain, system: 'Be brief.' }), null);
  assert.equal(plainLines({ ...plain, checks: [{}] }), null);
  assert.equal(plainLines({ ...plain, template: '{{prompt}}?' }), null);
  assert.equal(plainLines({ ...plain, items: [{ variables: { prompt: 'One\nmore' } }] }), null);
  assert.equal(plainLines({ ...plain, items: [{ variables: { prompt: 'One' }, expected: 'x' }] }), null);
  assert.equal(plainLines({ ...plain, items: [{ variables: { prompt: 'One', other: 'x' } }] }), null);
});

const messages = [
  { role: 'system', content: 'Be brief.' }, { role: 'user', content: 'First?' }, { role: 'assistant', content: 'Yes.' },
  { role: 'user', content: 'Second?' }, { role: 'user', content: [{ type: 'image', attachment: 'a' }] },
];
const turn = (id, parent, text, more = {}) => ({ id, parent, history: null, text, vote: null, ...more });
const answer = (of, asked, more = {}) => ({ turn: of, asked, continues: null, ...more });

test('a chat becomes the prompts of its shown branch, each with what was said before', () => {
  const chat = {
    turns: [turn('a', null, 'First?'), turn('b', 'a', 'Second?'), turn('c', 'a', 'Another branch?'), turn('d', 'b', 'Look', { attachments: [{}] })],
    answers: [answer('a', [0, 1]), answer('b', [0, 1, 2, 3, 2], { continues: 'x' }), answer('b', [0, 1, 2, 3]), answer('c', [0, 1, 2]), answer('d', [4])],
    messages, view: { leaf: 'd' },
  };
  const first = { prompt: 'First?' };
  const dialogue = { messages: messages.slice(1, 4) };
  assert.deepEqual(chatPrompts(chat), { prompts: [first, dialogue], left: 1 });
  assert.deepEqual(chatPrompts({ ...chat, view: { leaf: 'b' } }), { prompts: [first, dialogue], left: 0 });
  assert.deepEqual(chatPrompts({ ...chat, view: undefined, turns: [turn('z', null, 'Never asked?')] }), { prompts: [{ prompt: 'Never asked?' }], left: 0 });
  assert.deepEqual(chatPrompts({ turns: [], answers: [], messages: [], view: {} }), { prompts: [], left: 0 });
});

test('the prompts of a chat are lines if each is one, and a file in any case', () => {
  assert.deepEqual(promptFile([{ prompt: 'One?' }, { prompt: 'Two?' }]), { lines: 'One?\nTwo?', file: '{"prompt":"One?"}\n{"prompt":"Two?"}\n' });
  assert.equal(promptFile([{ prompt: 'One?\nMore' }]).lines, null);
  assert.equal(promptFile([{ messages: [] }]).lines, null);
});

test('of an exported run the prompts are sent, without answers, judgements and votes', () => {
  const file = '{"format":"sidestream-run","version":1}\n{"kind":"prompt","prompt":0}\n{"kind":"answer","text":"x"}\n{"kind":"judge","id":"j"}\n{"kind":"judgement","judge":"j"}\n{"kind":"vote","prompt":0}\n';
  assert.equal(isExportedRun(file), true);
  assert.equal(isExportedRun('{"prompt":"One?"}\n'), false);
  assert.equal(withoutOutcomes(file), '{"format":"sidestream-run","version":1}\n{"kind":"prompt","prompt":0}\n');
});
