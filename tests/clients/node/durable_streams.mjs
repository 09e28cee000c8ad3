/** Cases of the JavaScript client of Durable Streams: streams that are written, read, followed and removed. */

import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client";

import { serve } from "./cases.mjs";

const JSON_TYPE = "application/json";
const TEXT = "text/plain";
const SPLIT = new TextEncoder().encode("杭州 ✓");

const headed = (key, more = {}) => ({ headers: { Authorization: `Bearer ${key}`, ...more } });
const create = (url, key, contentType, more = {}) =>
  DurableStream.create({ url, contentType, ...headed(key), ...more });
const numbered = (number) => JSON.stringify({ number });

/** Append to streams of JSON and of bytes, and read them from the beginning. */
async function writeAndRead({ url, key }) {
  const one = await create(`${url}-json`, key, JSON_TYPE, { ttlSeconds: 3600, body: numbered(0) });
  await one.append(numbered(1));
  await one.append(JSON.stringify([2, "二"]));
  const reading = await stream({ url: one.url, live: false, ...headed(key) });
  const messages = await reading.json();
  const head = await DurableStream.head({ url: one.url, ...headed(key) });
  const other = await create(`${url}-bytes`, key, "application/octet-stream");
  await other.append(Uint8Array.from({ length: 256 }, (_, number) => number));
  await other.append("end");
  const data = await (await other.stream({ live: false })).body();
  return {
    messages,
    at_end: reading.offset === head.offset,
    content_type: head.contentType,
    data: [...data],
  };
}

/** Append many messages at once with one handle, which joins what waits. */
async function writeAtOnce({ url, key }) {
  const one = await create(url, key, JSON_TYPE);
  await Promise.all(Array.from({ length: 50 }, (_, number) => one.append(numbered(number))));
  const messages = await (await one.stream({ live: false })).json();
  return messages.map(({ number }) => number).sort((a, b) => a - b);
}

/** Follow a stream: each message is appended when the one before has been seen. */
async function follow({ url, key, live }) {
  const one = await create(url, key, JSON_TYPE);
  await one.append(numbered(0));
  const seen = [];
  const reading = await one.stream({ offset: "-1", live });
  for await (const { number } of reading.jsonStream()) {
    seen.push(number);
    if (number < 3) await one.append(numbered(number + 1));
    else if (number === 3) await one.close({ body: numbered("last") });
  }
  return seen;
}

/** Follow a text that is appended byte by byte, so that characters are divided. */
async function followText({ url, key }) {
  const one = await create(url, key, TEXT, { batching: false });
  const reading = await one.stream({ offset: "-1", live: "sse" });
  const writing = (async () => {
    for (const byte of SPLIT) await one.append(Uint8Array.of(byte));
    await one.close({ body: "last" });
  })();
  let seen = "";
  for await (const piece of reading.textStream()) seen += piece;
  await writing;
  return seen;
}

/** Read, and go on later from the offset that was reached, in each mode. */
async function resume({ url, key }) {
  const one = await create(url, key, JSON_TYPE);
  await one.append(numbered(0));
  const reading = await one.stream({ live: false });
  const first = await reading.json();
  await one.append(numbered(1));
  await one.close({ body: numbered("last") });
  const rest = {};
  for (const live of [false, "long-poll", "sse"]) {
    const messages = await (await one.stream({ offset: reading.offset, live })).json();
    rest[String(live)] = messages.map(({ number }) => number);
  }
  return { first, rest };
}

/** Fork a stream by headers, and append to both. */
async function fork({ url, key, path }) {
  const one = await create(url, key, JSON_TYPE);
  await one.append(numbered(0));
  const { offset } = await one.head();
  await one.append(numbered(1));
  const asked = { "Stream-Forked-From": path, "Stream-Fork-Offset": offset };
  await DurableStream.create({ url: `${url}-fork`, ...headed(key, asked) });
  const other = await DurableStream.connect({ url: `${url}-fork`, ...headed(key) });
  await other.append(numbered("fork"));
  const found = [];
  for (const which of [one, other]) {
    const messages = await (await which.stream({ live: false })).json();
    found.push(messages.map(({ number }) => number));
  }
  return found;
}

async function remove({ url, key }) {
  const one = await create(url, key, TEXT);
  await one.delete();
  return error(() => stream({ url, live: false, ...headed(key) }));
}

/** Return what is thrown for what a client may do wrong. */
async function errors({ url, key, size }) {
  const one = await create(url, key, TEXT, { batching: false });
  const closed = await create(`${url}-closed`, key, JSON_TYPE, { closed: true });
  return {
    missing: await error(() => stream({ url: `${url}-none`, live: false, ...headed(key) })),
    other: await error(() => create(url, key, JSON_TYPE)),
    seq: await error(async () => {
      await one.append("a", { seq: "2" });
      await one.append("a", { seq: "1" });
    }),
    closed: await error(() => closed.append(numbered(1))),
    large: await error(() => one.append("a".repeat(size))),
    offset: await error(() => stream({ url, offset: "x", live: false, ...headed(key) })),
    key: await error(() => DurableStream.connect({ url, ...headed("wrong") })),
  };
}

/** Return the status and the code of what an attempt throws. */
async function error(attempt) {
  try {
    await attempt();
  } catch (found) {
    return [found.status ?? null, found.code ?? null];
  }
  return null;
}

/** Write with idempotent producers: in batches, again after a restart, and against a newer instance. */
async function produce({ url, key }) {
  const one = await create(url, key, JSON_TYPE);
  const failures = [];
  const options = { ...headed(key), lingerMs: 1, onError: (found) => failures.push(found.constructor.name) };
  const producer = new IdempotentProducer(one, "worker", options);
  for (let number = 0; number < 100; number++) producer.append(numbered(number));
  await producer.flush();
  await producer.restart();
  producer.append(numbered(100));
  await producer.flush();
  const stale = new IdempotentProducer(one, "worker", { ...options, epoch: 0 });
  stale.append(numbered("stale"));
  await stale.flush().catch(() => {});
  const claiming = new IdempotentProducer(one, "worker", { ...options, autoClaim: true });
  claiming.append(numbered(101));
  await claiming.close(numbered("last"));
  const messages = await (await one.stream({ live: false })).json();
  return {
    numbers: messages.map(({ number }) => number),
    epochs: [producer.epoch, claiming.epoch],
    failures,
    closed: (await one.head()).streamClosed,
  };
}

/** Write with an idempotent producer whose every request arrives twice. */
async function repeat({ url, key }) {
  const statuses = [];
  const twice = async (address, options) => {
    statuses.push((await fetch(address, options)).status);
    return fetch(address, options);
  };
  const one = await create(url, key, JSON_TYPE);
  const producer = new IdempotentProducer(one, "worker", { ...headed(key), fetch: twice, lingerMs: 0 });
  for (let number = 0; number < 3; number++) {
    producer.append(numbered(number));
    await producer.flush();
  }
  await producer.close(numbered("last"));
  const messages = await (await one.stream({ live: false })).json();
  return { numbers: messages.map(({ number }) => number), statuses };
}

/** Read a chat run to its end, as a stream of its events. */
async function run({ url, key, live }) {
  const events = [];
  const reading = await stream({ url, offset: "-1", live, ...headed(key) });
  for await (const event of reading.jsonStream()) events.push(event);
  return events;
}

await serve({
  write_and_read: writeAndRead,
  write_at_once: writeAtOnce,
  follow,
  follow_text: followText,
  resume,
  fork,
  remove,
  errors,
  produce,
  repeat,
  run,
});
