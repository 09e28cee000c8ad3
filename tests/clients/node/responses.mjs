/** Cases of OpenAI's Node client: Responses. */

import OpenAI from "openai";

import { serve } from "./cases.mjs";

const client = ({ base_url: baseURL, key: apiKey }) =>
  new OpenAI({ baseURL, apiKey, maxRetries: 0 });

const asking = ({ model, more = {} }) => ({ model, input: "Hello", ...more });

async function plain(words) {
  const answer = await client(words).responses.create(asking(words));
  return { ...answer, text_of_it: answer.output_text };
}

async function stream(words) {
  const seen = [];
  const events = await client(words).responses.create({ ...asking(words), stream: true });
  for await (const event of events) seen.push(event);
  return seen;
}

async function helper(words) {
  const events = client(words).responses.stream(asking(words));
  let text = "";
  for await (const event of events) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  return { text, final: await events.finalResponse() };
}

async function turns(words) {
  const { responses } = client(words);
  const first = await responses.create(asking(words));
  const second = await responses.create({
    model: words.model,
    input: "And now?",
    previous_response_id: first.id,
  });
  const items = [];
  for await (const item of responses.inputItems.list(first.id)) items.push(item);
  return { first: first.id, previous: second.previous_response_id, text: second.output_text, items };
}

async function close(words) {
  const events = await client(words).responses.create({ ...asking(words), stream: true });
  for await (const event of events) {
    if (event.type === "response.output_text.delta") return event.delta;
  }
  return null;
}

/** Begin in the background and leave at the first text; return the id, the text and where it was left. */
async function begin(words) {
  const events = await client(words).responses.create({
    ...asking(words),
    stream: true,
    background: true,
  });
  let name = "";
  for await (const event of events) {
    if (event.type === "response.created") name = event.response.id;
    if (event.type === "response.output_text.delta") {
      return { name, text: event.delta, number: event.sequence_number };
    }
  }
  throw new Error("there was no text");
}

async function background(words) {
  const { responses } = client(words);
  const begun = await begin(words);
  const states = [(await responses.retrieve(begun.name)).status];
  let { text } = begun;
  const rest = await responses.retrieve(begun.name, { stream: true, starting_after: begun.number });
  for await (const event of rest) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  const final = await responses.retrieve(begun.name);
  states.push(final.status);
  await responses.delete(begun.name);
  return { text, whole: final.output_text, states, id: begun.name };
}

async function cancel(words) {
  const { responses } = client(words);
  const { name } = await begin(words);
  const states = [];
  for (let n = 0; n < 2; n += 1) states.push((await responses.cancel(name)).status);
  return [...states, (await responses.retrieve(name)).status];
}

async function retrieve(words) {
  return (await client(words).responses.retrieve(words.name)).status;
}

await serve({ plain, stream, helper, turns, close, background, cancel, retrieve });
