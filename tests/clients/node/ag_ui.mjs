/** Cases of AG-UI's own client. */

import { HttpAgent } from "@ag-ui/client";

import { serve } from "./cases.mjs";

const agents = ({ url, key, threadId = "thread/1", messages = [] }) =>
  new HttpAgent({
    url,
    threadId,
    headers: { Authorization: `Bearer ${key}` },
    initialMessages: messages,
  });

const QUESTION = { id: "question-1", role: "user", content: "Hello" };

/** Run an agent; return its messages, and what its subscriber was told. */
async function running(agent, words, onText = () => {}) {
  const told = { kinds: [], errors: [], outcome: null, usage: null };
  const subscriber = {
    onEvent: ({ event }) => void told.kinds.push(event.type),
    onTextMessageContentEvent: () => void onText(),
    onRunErrorEvent: ({ event }) => void told.errors.push({ message: event.message, code: event.code }),
    onRunFinishedEvent: ({ event }) => {
      told.outcome = event.outcome?.type ?? null;
      told.usage = event.usage ?? null;
      told.pending = event.outcome?.pendingToolCallIds ?? null;
    },
  };
  const { runId = "run 1", tools, model } = words;
  const asked = { runId, tools, forwardedProps: { model, ...words.more } };
  await agent.runAgent(asked, subscriber);
  return { messages: agent.messages, ...told };
}

async function run(words) {
  return running(agents({ messages: [QUESTION], ...words }), words);
}

/** Ask twice in one thread. */
async function turns(words) {
  const agent = agents({ ...words, messages: [QUESTION] });
  await running(agent, { ...words, runId: "run 1" });
  agent.addMessage({ id: "question-2", role: "user", content: "And now?" });
  return running(agent, { ...words, runId: "run 2" });
}

async function abort(words) {
  const agent = agents({ ...words, messages: [QUESTION] });
  return running(agent, words, () => agent.abortRun());
}

/** Join a run from another client, once the first has had some of its text. */
async function join(words) {
  const first = agents({ ...words, messages: [QUESTION] });
  const second = agents(words);
  let begin;
  const begun = new Promise((resolve) => {
    begin = resolve;
  });
  const whole = running(first, words, begin);
  await begun;
  return { second: await running(second, words), first: await whole };
}

/** Call tools, append their results, and go on. */
async function toolTurns(words) {
  const agent = agents({ ...words, messages: [QUESTION] });
  const first = await running(agent, { ...words, runId: "run 1" });
  const calls = agent.messages.flatMap(({ toolCalls }) => toolCalls ?? []);
  for (const call of calls) {
    agent.addMessage({ id: `result-${call.id}`, role: "tool", toolCallId: call.id, content: "22 °C" });
  }
  const second = await running(agent, { ...words, runId: "run 2", model: words.turn });
  return { calls, pending: first.pending, second };
}

await serve({ run, turns, abort, join, tools: toolTurns });
