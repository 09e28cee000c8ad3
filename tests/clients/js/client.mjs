/** Cases of our own client in Node, as the service ships it. */

import { Client } from "../../../src/stream_serve/pages/client.js";
import { serve } from "../node/cases.mjs";

/** Return what a client's error says, with its class. */
function told(error) {
  const { name, message, code, retryable, retryAfter, status, fields, event, cause } = error;
  return { name, message, code, retryable, retryAfter, status, fields, event, cause: cause?.message };
}

/** Follow a run to its end, and return all that was seen of it: by an iterator, and by callbacks. */
async function followed(start, { leaveAt, stopAt, abortAt } = {}) {
  const seen = { events: [], called: [], states: [], pieces: "", error: null, receipt: null };
  const controller = new AbortController();
  const on = {
    onEvent: (event) => seen.called.push(event.type),
    onText: (piece) => (seen.pieces += piece),
    onState: (state) => seen.states.push(state),
    onEnd: (result) => (seen.ended = result),
    onError: (error) => (seen.failed = told(error)),
    signal: controller.signal,
  };
  const run = start(on);
  let chunks = 0;
  let stopping;
  try {
    for await (const event of run) {
      seen.events.push(event);
      if (event.type !== "chunk") continue;
      chunks++;
      if (chunks === leaveAt) break;
      if (chunks === abortAt) controller.abort();
      if (chunks === stopAt) stopping = run.stop();
    }
    seen.result = await run.result();
  } catch (error) {
    seen.error = told(error);
  }
  if (stopping) seen.receipt = await stopping;
  const { id, cursor, text, reasoning, state, over } = run;
  return { ...seen, id, cursor, text, reasoning, state, over };
}

const clientOf = ({ url, key, options }) => new Client({ baseUrl: url, key, ...options });

const chat = (words) => followed((on) => clientOf(words).chat(words.question, on), words);
const follow = (words) => followed((on) => clientOf(words).follow(words.runId, { ...words.from, ...on }), words);

/** Ask, and read the first half; then go on with the run's id and cursor in a client that is new. */
async function reload(words) {
  const first = await new Promise((resolve) => {
    const run = clientOf(words).chat(words.question, {
      onText: (piece, text) => {
        if (text.length < words.half) return;
        const { id, cursor } = run;
        resolve({ id, cursor, text });
        run.leave();
      },
    });
  });
  const { id, cursor, text } = JSON.parse(JSON.stringify(first));
  const from = words.anew ? {} : { after: cursor, text };
  return followed((on) => clientOf(words).follow(id, { ...from, ...on }));
}

/** Stop a run at once, before its start has an answer. */
async function stopEarly(words) {
  const run = clientOf(words).chat(words.question);
  const receipt = await run.stop();
  return { receipt, result: await run.result() };
}

/** Ask with a `fetch` that fails so many times, in the way of some browser. */
function failing(words) {
  let left = words.times;
  let asked = 0;
  const failures = {
    safari: () => new TypeError("Load failed"),
    suspended: () => new DOMException("The operation was aborted.", "AbortError"),
    nothing: () => undefined,
  };
  const failing = async (...given) => {
    asked++;
    if (words.before && left-- > 0) throw failures[words.how]();
    const response = await fetch(...given);
    if (words.before || left-- <= 0) return response;
    const reader = response.body.getReader();
    const body = new ReadableStream({
      async pull(out) {
        const { value } = await reader.read();
        out.enqueue(value);
        await reader.cancel();
        out.error(failures[words.how]());
      },
    });
    return new Response(body, { status: response.status, headers: response.headers });
  };
  const client = clientOf({ ...words, options: { fetch: failing } });
  return followed((on) => client.chat(words.question, on)).then((seen) => ({ ...seen, asked }));
}

/** Ask with keys that expire: each is asked for when the one before is refused. */
async function keys(words) {
  const left = [...words.keys];
  const client = new Client({ baseUrl: words.url, key: () => left.shift() });
  return { ...(await followed((on) => client.chat(words.question, on))), left };
}

/** Read a run with two iterators, one of which begins when the run is over. */
async function twice(words) {
  const run = clientOf(words).chat(words.question);
  const texts = [];
  for (let at = 0; at < 2; at++) {
    let text = "";
    for await (const event of run) if (event.type === "chunk") text += event.content;
    texts.push(text);
  }
  return texts;
}

/** Throw in a callback: the run goes on, and the error is the program's. */
async function thrown(words) {
  const uncaught = [];
  process.on("uncaughtException", (error) => uncaught.push(error.message));
  const run = clientOf(words).chat(words.question, {
    onText: () => {
      throw new Error("of the page");
    },
  });
  const { text } = await run.result();
  return { text, uncaught };
}

/** Ask, and set the clock to another time as soon as no text comes: after a sleep, or by whoever sets clocks. */
async function clock({ hours, ...words }) {
  const now = Date.now;
  let skew = 0;
  let silent;
  Date.now = () => now() + skew;
  try {
    const onText = () => {
      clearTimeout(silent);
      silent = setTimeout(() => (skew = hours * 3_600_000), 150);
    };
    return await followed((on) => clientOf(words).chat(words.question, { ...on, onText }));
  } finally {
    clearTimeout(silent);
    Date.now = now;
  }
}

/** Read a stream to its end: by an iterator, or by callbacks. */
async function tail(words) {
  const seen = { messages: [], called: [], states: [], error: null, receipt: null };
  const on = {
    onState: (state) => seen.states.push(state),
    onEnd: (result) => (seen.ended = result),
    onError: (error) => (seen.failed = told(error)),
  };
  if (words.callbacks) on.onEvent = (event) => seen.called.push(event);
  const run = clientOf(words).tail(words.name, { ...words.from, ...on });
  let stopping;
  try {
    for await (const message of run) {
      seen.messages.push(message);
      if (seen.messages.length === words.stopAt) stopping = run.stop();
      if (seen.messages.length === words.leaveAt) break;
    }
    seen.result = await run.result();
  } catch (error) {
    seen.error = told(error);
  }
  if (stopping) seen.receipt = await stopping;
  const { id, cursor, text, state, over } = run;
  return { ...seen, id, cursor, text, state, over, kept: run.events.length };
}

/** Make a client with wrong options. */
const made = ({ options }) => void new Client(options);

await serve({ chat, follow, reload, stopEarly, failing, keys, twice, thrown, clock, tail, made });
