/** Cases of the AI SDK's chat, which `useChat` is made of, against the service's door for it. */

import { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from "ai";

import { serve } from "./cases.mjs";

/** A chat without a page: `useChat` keeps the same state in React. */
class Chat extends AbstractChat {
  constructor({ messages = [], ...init }) {
    const state = {
      status: "ready",
      error: undefined,
      messages,
      pushMessage: (message) => (state.messages = [...state.messages, message]),
      popMessage: () => (state.messages = state.messages.slice(0, -1)),
      replaceMessage: (index, message) => (state.messages = state.messages.with(index, message)),
      snapshot: (thing) => structuredClone(thing),
    };
    super({ ...init, state });
  }
}

/** Return a chat at the door, and the requests that it makes. */
function chatAt({ door, key, model, ...init }, requests = []) {
  const transport = new DefaultChatTransport({
    api: `${door}/api/chat`,
    headers: { Authorization: `Bearer ${key}` },
    body: { model },
    fetch: async (url, options) => {
      const response = await fetch(url, options);
      requests.push({ method: options.method ?? "GET", url: String(url), status: response.status });
      return response;
    },
  });
  return { chat: new Chat({ transport, ...init }), requests };
}

const seen = ({ messages, status, error }) => ({ messages, status, error: error?.message });
const text = (message) =>
  (message?.parts ?? []).map((part) => (part.type === "text" ? part.text : "")).join("");

/** Return the text of the answer so far. */
const said = ({ lastMessage }) => (lastMessage?.role === "assistant" ? text(lastMessage) : "");

async function until(holds) {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Ask twice, and then for another answer to the second question. */
async function turns(words) {
  const finishes = [];
  const { chat } = chatAt({ ...words, onFinish: ({ finishReason }) => finishes.push(finishReason) });
  await chat.sendMessage({ text: "one" });
  await chat.sendMessage({ text: "two" });
  const before = seen(chat);
  await chat.regenerate();
  return { before, after: seen(chat), finishes };
}

/** Stop as soon as there is a text. */
async function stop(words) {
  const aborts = [];
  const { chat } = chatAt({ ...words, onFinish: ({ isAbort }) => aborts.push(isAbort) });
  const asked = chat.sendMessage({ text: "one" });
  await until(() => said(chat));
  await chat.stop();
  await asked;
  return { ...seen(chat), aborts };
}

/** Stop by the chat's id, as a page with `resume` does, while the stream stays open. */
async function stopById(words) {
  const { chat } = chatAt(words);
  const asked = chat.sendMessage({ text: "one" });
  await until(() => said(chat));
  const headers = { Authorization: `Bearer ${words.key}` };
  const url = `${words.door}/api/chat/${encodeURIComponent(chat.id)}/stop`;
  const receipt = await (await fetch(url, { method: "POST", headers })).json();
  await asked;
  return { ...seen(chat), receipt };
}

/** Leave in the middle, and come back as a page that is loaded anew, with what `stored` it has. */
async function resume({ stored, ...words }) {
  const first = chatAt(words).chat;
  const asked = first.sendMessage({ text: "one" });
  await until(() => said(first).length > 20);
  const messages = { question: first.messages.slice(0, 1), partial: first.messages, nothing: [] };
  const kept = structuredClone(messages[stored]);
  await first.stop();
  await asked;
  const { chat, requests } = chatAt({ ...words, id: first.id, messages: kept });
  await chat.resumeStream();
  const again = chatAt({ ...words, id: first.id, messages: chat.messages });
  await again.chat.resumeStream();
  return {
    id: first.lastMessage.id,
    ...seen(chat),
    statuses: [...requests, ...again.requests].map((request) => request.status),
    same: JSON.stringify(again.chat.messages) === JSON.stringify(chat.messages),
  };
}

/** Let the page run its tools, and send their results by itself until there is an answer by `turn`. */
async function tools({ turn, ...words }) {
  const called = [];
  const { chat, requests } = chatAt({
    ...words,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall: ({ toolCall: { toolName: tool, toolCallId, input } }) => {
      called.push({ toolCallId, tool, input });
      chat.transport.body = { model: turn };
      void chat.addToolOutput({ tool, toolCallId, output: { degrees: 21 } });
    },
  });
  await chat.sendMessage({ text: "one" });
  await until(() => said(chat) && chat.status === "ready");
  return { ...seen(chat), called, requests };
}

/** Let the calls of an answer be cut: nothing is sent by itself. */
async function cut(words) {
  const { chat, requests } = chatAt({
    ...words,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
  });
  const asked = chat.sendMessage({ text: "one" });
  await until(() => chat.lastMessage?.parts.some((part) => part.type.startsWith("tool-")));
  const headers = { Authorization: `Bearer ${words.key}` };
  await fetch(`${words.door}/api/chat/${chat.id}/stop`, { method: "POST", headers });
  await asked;
  return { ...seen(chat), requests };
}

/** Ask once, and return what the page has. */
async function ask(words) {
  const data = [];
  const { chat, requests } = chatAt({ ...words, onData: (part) => data.push(part) });
  await chat.sendMessage({ text: "one" });
  return { ...seen(chat), data, requests };
}

await serve({ turns, stop, stopById, resume, tools, cut, ask });
