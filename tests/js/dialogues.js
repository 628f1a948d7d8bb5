/**
 * Hold dialogues with a real server: `node dialogues.js [--worker] DIALOGUES`, a JSON array of
 * `{url, models, prompt, parameters, cuts}`; prints the answers received in each.
 *
 * With `--worker` the client runs in a worker thread. After the end it keeps pinging until its
 * connection was cut `cuts` times.
 */

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

import { WebSocket } from 'ws';

import { SidestreamClient } from '../../static/js/client/client.js';

async function hold({ url, models, prompt, parameters, cuts }) {
  const client = new SidestreamClient({
    url, createSocket: (address) => new WebSocket(address), minDelayMs: 5, maxDelayMs: 50,
  });
  let connections = 0;
  client.on('connection', ({ name }) => { connections += name === 'connecting'; });
  client.connect();
  const targets = models.map((model) => ({ model }));
  const generations = await client.generate({ targets, prompt, parameters });
  const answers = await Promise.all(generations.map(async (generation) => {
    let heard = generation.text;
    generation.on('delta', ({ text }) => { heard += text; });
    let read = '';
    for await (const text of generation) read += text;
    const { reasoning, toolCalls, text, finishReason } = generation;
    const besides = { ...(reasoning && { reasoning }), ...(toolCalls.length > 0 && { tool_calls: toolCalls }) };
    return { heard, read, text, finish_reason: finishReason, ...besides };
  }));
  while (connections <= cuts) await client.ping();
  client.close();
  return answers;
}

async function holdAll(dialogues) {
  return JSON.stringify(await Promise.all(dialogues.map(hold)));
}

if (!isMainThread) {
  parentPort.postMessage(await holdAll(workerData));
} else if (process.argv[2] === '--worker') {
  const worker = new Worker(new URL(import.meta.url), { workerData: JSON.parse(process.argv[3]) });
  worker.on('message', (answers) => process.stdout.write(answers));
} else {
  process.stdout.write(await holdAll(JSON.parse(process.argv[2])));
}
