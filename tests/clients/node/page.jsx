/** A page of somebody else's with OpenAI's client and useChat, for tests that drive it as `window.page`. */

import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import OpenAI from "openai";
import { createRoot } from "react-dom/client";

const client = ({ base_url: baseURL, key: apiKey }) =>
  new OpenAI({ baseURL, apiKey, maxRetries: 0, dangerouslyAllowBrowser: true });

const messages = [{ role: "user", content: "Hello" }];

/** Return what an error says. */
const told = ({ name, constructor, message, status, requestID, headers }) => ({
  name: constructor?.name ?? name,
  message,
  status,
  requestID,
  retryAfter: headers?.get("retry-after"),
});

const attempt = (call) => call.catch((error) => ({ raised: told(error) }));

async function stream(words) {
  const chunks = await client(words).chat.completions.create({
    model: words.model,
    messages,
    stream: true,
  });
  let text = "";
  for await (const chunk of chunks) {
    text += chunk.choices[0]?.delta.content ?? "";
    if (text && words.leave) break;
  }
  return text;
}

async function plain({ model, ...words }) {
  const { data, request_id: id } = await client(words)
    .chat.completions.create({ model, messages })
    .withResponse();
  return { text: data.choices[0].message.content, id };
}

async function models(words) {
  const listed = [];
  for await (const model of client(words).models.list()) listed.push(model.id);
  return listed;
}

/** Show a chat. `page.chat` is what useChat returned last; `page.told` has what its callbacks were told. */
function Chat({ options, transport }) {
  window.page.chat = useChat({
    ...options,
    transport: new DefaultChatTransport(transport),
    onError: (error) => window.page.told.push({ error: error.message }),
    onFinish: ({ isAbort, isError, isDisconnect, finishReason }) =>
      window.page.told.push({ isAbort, isError, isDisconnect, finishReason }),
  });
  return null;
}

/** Open a chat with useChat's own options and its transport's. */
function open(options, transport) {
  window.page.told = [];
  window.page.root?.unmount();
  window.page.root = createRoot(document.getElementById("root"));
  window.page.root.render(<Chat options={options} transport={transport} />);
}

/** Return who has said what, in texts alone. */
const said = () =>
  window.page.chat.messages.map(({ role, parts }) => ({
    role,
    text: parts.map((part) => (part.type === "text" ? part.text : "")).join(""),
  }));

window.page = {
  stream: (words) => attempt(stream(words)),
  plain: (words) => attempt(plain(words)),
  models: (words) => attempt(models(words)),
  open,
  said,
  told: [],
};
