/** Cases of AG-UI's client: runs, aborts, and joins by each of the ways there are. */

import { HttpAgent } from "@ag-ui/client";

import { resumingFetch } from "../../../examples/ag-ui-resume/resuming-fetch.mjs";
import { serve } from "./cases.mjs";

const HISTORY = [
  { id: "r0", role: "reasoning", content: "old thoughts" },
  { id: "a0", role: "assistant", content: "Hello" },
  { id: "u1", role: "user", content: "你好" },
];

// A cut connection leaves one rejection behind that nobody handles: that is how this client is.
process.on("unhandledRejection", () => {});

const warnings = [];
console.warn = (...words) => warnings.push(words.join(" "));

function agentOf({ url, key, threadId = "t/1", messages = HISTORY }, fetch) {
  const headers = { Authorization: `Bearer ${key}` };
  return new HttpAgent({ url, headers, threadId, initialMessages: messages, fetch });
}

/** Run an agent, and return what the page sees. */
async function seen(agent, { runId, model, tools, props }, onEvent = () => {}) {
  warnings.length = 0;
  const found = { events: [], calls: [], error: null, finished: null, rejected: null };
  const subscriber = {
    onEvent: ({ event }) => {
      found.events.push(event.type);
      onEvent(event);
    },
    onToolCallEndEvent: ({ event, toolCallName, toolCallArgs }) =>
      void found.calls.push([event.toolCallId, toolCallName, toolCallArgs]),
    onRunErrorEvent: ({ event }) =>
      void (found.error = { message: event.message, code: event.code, ...event.metadata }),
    onRunFinishedEvent: ({ event, outcome, pendingToolCallIds }) =>
      void (found.finished = { outcome, pending: pendingToolCallIds ?? null, usage: event.usage }),
  };
  const forwardedProps = { model, ...props };
  try {
    const result = await agent.runAgent({ runId, tools, forwardedProps }, subscriber);
    found.newMessages = result.newMessages;
  } catch (error) {
    found.rejected = error.message;
  }
  return { ...found, messages: agent.messages, warnings: [...warnings] };
}

/** Return a `fetch` whose connections end after so many blocks each, cleanly or by an error. */
function cutting(counts, { clean }) {
  let connections = 0;
  const fetching = async (url, init) => {
    const response = await fetch(url, init);
    if (url instanceof URL || !response.ok) return response;
    const left = counts[connections++];
    if (left === undefined) return response;
    const reader = response.body.getReader();
    let [text, sent] = ["", 0];
    const body = new ReadableStream({
      async pull(out) {
        while (sent < left) {
          const at = text.indexOf("\n\n");
          if (at >= 0) {
            out.enqueue(new TextEncoder().encode(text.slice(0, at + 2)));
            [text, sent] = [text.slice(at + 2), sent + 1];
            return;
          }
          const { done, value } = await reader.read();
          if (done) return out.close();
          text += new TextDecoder().decode(value);
        }
        await reader.cancel();
        if (clean) out.close();
        else out.error(new TypeError("terminated"));
      },
    });
    const cut = new Response(body, { headers: response.headers });
    Object.defineProperty(cut, "url", { value: response.url });
    return cut;
  };
  fetching.connections = () => connections;
  return fetching;
}

const run = (words) => seen(agentOf(words), words);

/** Abort when an event of a type has come. */
async function abort(words) {
  const agent = agentOf(words, words.resuming ? resumingFetch() : undefined);
  return seen(agent, words, (event) => event.type === words.at && agent.abortRun());
}

/** Read a run over connections that are cut, with the `fetch` of our example. */
async function resume(words) {
  const fetch = cutting(words.cuts, words);
  const found = await seen(agentOf(words, resumingFetch({ pause: 1, fetch })), words);
  return { ...found, connections: fetch.connections() };
}

/** Cut a run after some blocks; then let three instances of the client ask for it again. */
async function again(words) {
  const props = { onDisconnect: "continue" };
  const agent = agentOf(words, cutting([words.cut], words));
  await seen(agent, { ...words, props });
  const reload = agentOf({ ...words, messages: structuredClone(agent.messages) });
  const fresh = agentOf({ ...words, messages: words.history ? HISTORY : [] });
  const found = [];
  for (const one of [agent, reload, fresh]) found.push(await seen(one, words));
  return found;
}

await serve({ run, abort, resume, again });
