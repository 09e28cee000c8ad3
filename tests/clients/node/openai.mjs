/** Cases of OpenAI's Node client: Chat Completions and models. */

import OpenAI from "openai";

import { QUESTION, serve } from "./cases.mjs";

const client = ({ base_url, key, retries = 0, timeout }) =>
  new OpenAI({ baseURL: base_url, apiKey: key, maxRetries: retries, timeout });

const asking = ({ model, more = {} }) => ({ model, messages: QUESTION, ...more });

async function plain(words) {
  return client(words).chat.completions.create(asking(words));
}

async function stream(words) {
  const chunks = await client(words).chat.completions.create({ ...asking(words), stream: true });
  const seen = [];
  for await (const chunk of chunks) seen.push(chunk);
  return seen;
}

async function failingStream(words) {
  let text = "";
  try {
    const chunks = await client(words).chat.completions.create({ ...asking(words), stream: true });
    for await (const chunk of chunks) text += chunk.choices[0]?.delta.content ?? "";
  } catch (error) {
    return { text, name: error.constructor.name, message: error.message, code: error.code };
  }
  return { text };
}

/** Return what the client's own helper for streams makes of an answer. */
async function helper(words) {
  const runner = client(words).chat.completions.stream(asking(words));
  const content = await runner.finalContent();
  return { content, final: await runner.finalChatCompletion(), usage: await runner.totalUsage() };
}

async function breakOff(words) {
  const chunks = await client(words).chat.completions.create({ ...asking(words), stream: true });
  for await (const chunk of chunks) {
    const text = chunk.choices[0]?.delta.content;
    if (text) return text;
  }
  return null;
}

async function abort(words) {
  const chunks = await client(words).chat.completions.create({ ...asking(words), stream: true });
  for await (const chunk of chunks) {
    if (chunk.choices[0]?.delta.content) chunks.controller.abort();
  }
  return "ended";
}

async function giveUp(words) {
  return client({ ...words, timeout: 500 }).chat.completions.create(asking(words));
}

/** Return what a call in two turns says in each: the calls, and the answer to their results. */
async function tools(words) {
  const api = client(words);
  const runner = api.chat.completions.stream({ ...asking(words), tools: [words.tool] });
  const { message, finish_reason: reason } = (await runner.finalChatCompletion()).choices[0];
  const results = message.tool_calls.map(({ id }) => ({
    role: "tool",
    tool_call_id: id,
    content: "22 °C",
  }));
  const answer = await api.chat.completions.create({
    model: words.turn,
    messages: [...QUESTION, message, ...results],
    tools: [words.tool],
  });
  const calls = message.tool_calls.map(({ id, function: { name, arguments: text } }) => ({
    id,
    name,
    arguments: text,
  }));
  return { calls, reason, answer: answer.choices[0].message.content };
}

async function models(words) {
  const api = client(words);
  const listed = [];
  for await (const model of api.models.list()) listed.push(model.id);
  return { listed, shown: (await api.models.retrieve(listed[0])).id };
}

async function model(words) {
  return client(words).models.retrieve(words.name);
}

async function embeddings(words) {
  return client(words).embeddings.create({ model: "any", input: "Hello" });
}

async function completion(words) {
  const { completions } = client(words);
  const whole = await completions.create({ model: words.model, prompt: "Hello" });
  let streamed = "";
  for await (const chunk of await completions.create({
    model: words.model,
    prompt: "Hello",
    stream: true,
  })) {
    streamed += chunk.choices[0].text;
  }
  return { whole: whole.choices[0].text, streamed };
}

await serve({
  plain,
  stream,
  failing_stream: failingStream,
  helper,
  close: breakOff,
  cancel: abort,
  give_up: giveUp,
  tools,
  models,
  model,
  completion,
  embeddings,
});
