import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Runs } from '../../static/js/client/runs.js';

const event = (data) => `data: ${JSON.stringify(data)}\n\n`;
const snapshot = (text) => ({ type: 'snapshot', target: 0, repeat: 0, state: 'running', text });
const end = (more = {}) => ({ type: 'end', state: 'done', is_complete: true, ...more });

/** A response whose body comes in these pieces; an `Error` among them breaks it off. */
function response(...pieces) {
  const encoder = new TextEncoder();
  const body = new ReadableStream({
    pull(controller) {
      const piece = pieces.shift();
      if (piece === undefined) controller.close();
      else if (piece instanceof Error) controller.error(piece);
      else controller.enqueue(typeof piece === 'string' ? encoder.encode(piece) : piece);
    },
  });
  return new Response(body, { status: 200 });
}

/** Follow with these answers of the server, one for each connection; the events, and the addresses that were asked. */
async function followed(answers, options = {}) {
  const asked = [];
  const fetch = async (address) => {
    asked.push(address);
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const events = [];
  const reading = new Runs('http://here/').followPrompt('r_1', 3, { fetch, minDelayMs: 0, ...options });
  const over = (async () => { for await (const several of reading) events.push(...several); })();
  return { asked, events, over };
}

test('events are read whatever pieces they come in, with the fields that are left out', async () => {
  const text = `:\n\n${event(snapshot('Straße 🙂'))}${event({ type: 'delta', target: 0, repeat: 0, text: '\n\n' })}${event(end())}`;
  const bytes = new TextEncoder().encode(text);
  const single = [...bytes].map((_, index) => bytes.slice(index, index + 1));
  for (const pieces of [[text], single]) {
    const { asked, events, over } = await followed([response(...pieces)]);
    await over;
    assert.deepEqual(events, [{ reasoning: '', ...snapshot('Straße 🙂') }, { type: 'delta', kind: 'answer', target: 0, repeat: 0, text: '\n\n' }, end()]);
    assert.deepEqual(asked, ['http://here/runs/r_1/prompts/3/events']);
  }
});

test('after a cut, and while the server is away, it is asked again', async () => {
  const unavailable = new Response('{}', { status: 503 });
  const html = new Response('<h1>', { status: 502 });
  const { asked, events, over } = await followed([response(event(snapshot('a')), new Error('cut')), new Error('refused'), unavailable, html, response(event(snapshot('a b'))), response(event(end()))]);
  await over;
  assert.equal(asked.length, 6);
  assert.deepEqual(events.map(({ type, text }) => text ?? type), ['a', 'a b', 'end']);
});

test('a server that is about to stop is asked again, a run that is paused is not', async () => {
  const stopping = end({ state: 'running', is_complete: false });
  const { asked, over } = await followed([response(event(stopping)), response(event(end({ state: 'paused', is_complete: false })))]);
  await over;
  assert.equal(asked.length, 2);
});

test('what another connection would not change is thrown, also amid the events', async () => {
  const error = { code: 'unknown_run', message: 'there is no run', hint: null };
  const refused = new Response(JSON.stringify({ error }), { status: 404 });
  for (const answer of [refused, response(event(snapshot('a')) + event({ error }))]) {
    const { asked, events, over } = await followed([answer]);
    await assert.rejects(over, { code: 'unknown_run' });
    assert.equal(asked.length, 1);
    assert.ok(events.length <= 1);
  }
});

test('it gives up after so many attempts', async () => {
  const { asked, over } = await followed([new Error(), new Error(), new Error(), new Error()], { maxAttempts: 2 });
  await assert.rejects(over, { code: 'connection_closed' });
  assert.equal(asked.length, 3);
});

test('a signal ends it at once, also between two attempts', async () => {
  const gone = new AbortController();
  const { asked, over } = await followed([new Error('refused')], { signal: gone.signal, minDelayMs: 1e9, maxDelayMs: 1e9 });
  await new Promise((resolve) => setImmediate(resolve));
  gone.abort();
  await over;
  assert.equal(asked.length, 1);
});
