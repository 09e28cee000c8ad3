/** What is offered with an answer, and what that leaves alone. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { language } from "../../src/words/index.js";
import { named, press } from "../support/frame.js";
import { box, room, turns, type } from "../support/room.js";
import { json, refuse } from "../support/service.js";
import { settle, Talk } from "../support/talk.js";

let talk: Talk;

beforeEach(() => void (talk = new Talk()));
afterEach(() => {
  language.value = "en";
  talk.end();
});

const buttons = (name: string) => [...document.querySelectorAll("button")].filter((one) => (one.getAttribute("aria-label") ?? one.textContent) === name);
const complaint = () => document.querySelector(".composer .wrong")!.textContent;
const MODELS = [
  { name: "blind", default: true, context: null, thinks: null, sees: false, tools: null },
  { name: "eye", default: false, context: null, thinks: null, sees: true, tools: null },
  { name: "unknown", default: false, context: null, thinks: null, sees: null, tools: null },
  { name: "dark", default: false, context: null, thinks: null, sees: false, tools: null },
];
const models = () => void (talk.service.before = ({ path }) => (path === "ai/models" ? json({ models: MODELS, onlyListed: true }) : undefined));

async function ask(words: string): Promise<void> {
  type(words);
  press("Enter");
  await settle();
}

async function cut(words: string): Promise<void> {
  talk.service.run.say(words);
  talk.service.run.end("length");
  await settle(500);
}

test("Continue leaves the draft in the box, and what is kept of it; sending takes both", async () => {
  const { parts } = await room(talk);
  await ask("Hi");
  await cut("one");
  type("a draft");
  buttons("Continue")[0]!.click();
  await settle(500);
  const kept = () => parts.data.drafts.get(parts.conversation.peek().place);
  expect([turns().at(-2), box().value, kept()]).toEqual(["You: Continue", "a draft", "a draft"]);
  await cut("two");
  await ask("a draft");
  expect([box().value, kept()]).toEqual(["", ""]);
});

test("Continue is offered where it goes on: with the last answer of the chosen way", async () => {
  await room(talk);
  await ask("one");
  await cut("first");
  expect(buttons("Continue")).toHaveLength(1);
  await ask("two");
  expect(buttons("Continue")).toHaveLength(0);
  await cut("second");
  const [only, ...more] = buttons("Continue");
  expect([more, document.querySelectorAll("article.of-model")[1]!.contains(only!)]).toEqual([[], true]);
});

test("the receipt of a stop is there again after a reload, and where the service has none any more, that is said", async () => {
  talk.service.conversation("c");
  talk.service.exchange("c", "Hi");
  const answer = talk.service.message("c", "assistant", "Some", { status: "stopped", runId: "run-1" });
  let receipt = () => refuse(404, "run_not_found");
  talk.service.before = ({ method, path }) => (method === "POST" && path === "ai/runs/run-1/stop" ? receipt() : undefined);
  await room(talk, "/c/c");
  const stops = () => talk.service.of("POST", `ai/runs/${answer.runId}/stop`).length;
  const mark = document.querySelector<HTMLElement>(".mark")!;
  const details = mark.querySelector("details")!;
  const open = async () => {
    details.open = true;
    await settle(50);
  };
  expect([mark.querySelector("p")!.textContent, stops()]).toEqual(["Stopped", 0]);
  await open();
  expect([details.textContent, stops()]).toEqual(["Receipt of the stopThe service does not have the receipt any more.", 1]);
  receipt = () => json({ runId: "run-1", outcome: "stopped", upstreamClosed: true, latencyMs: 12, finishReason: "stopped", usage: null });
  details.open = false;
  await open();
  expect(mark.querySelector("p")!.textContent).toBe("Stopped, the provider's connection closed after 12 ms");
  expect([...details.querySelectorAll("dt")].map((one) => one.textContent)).toEqual(["Outcome", "Connection to the provider", "Time to stop", "Run"]);
  expect(details.querySelector("p")!.textContent).toBe("");
  details.open = false;
  await open();
  expect(stops()).toBe(2);
});

test("a stop before the question reached the service has no receipt to ask for", async () => {
  await room(talk);
  let answer = () => {};
  talk.service.before = ({ path }) => {
    if (path === "ai/chat/stream-sse") return new Promise((resolve) => (answer = () => resolve(refuse(409, "stopped_before_start"))));
    return path.endsWith("/stop") ? refuse(404, "run_not_found") : undefined;
  };
  await ask("Hi");
  named("button", "Stop").click();
  answer();
  await settle(500);
  expect(document.querySelector(".mark p")!.textContent).toBe("Stopped before the question reached the service");
  expect(document.querySelector(".mark details")).toBeNull();
});

test("a question with a picture is not answered again by a model that sees none, and the button says why", async () => {
  models();
  talk.service.conversation("c");
  talk.service.message("c", "user", [{ type: "image_url", image_url: { url: "data:image/png;base64,eA==" } }, { type: "text", text: "What is this?" }]);
  talk.service.message("c", "assistant", "A cat", { model: "eye" });
  talk.service.exchange("c", "And how old?", "Three");
  const { parts } = await room(talk, "/c/c");
  const said = "blind cannot see pictures. Choose a model that can.";
  expect(buttons(said).map(({ disabled, title }) => [disabled, title])).toEqual([[true, said]]);
  expect(buttons("Answer again")).toHaveLength(1);
  const offered = (at: number) => {
    buttons("More actions")[at]!.click();
    const all = [...document.querySelectorAll('[role="menu"] button')].map((one) => one.textContent);
    document.querySelector<HTMLElement>('[role="menu"]')!.remove();
    return all.filter((one) => one!.startsWith("Answer again"));
  };
  expect(offered(0)).toEqual(["Answer again with unknown"]);
  expect(offered(1)).toHaveLength(4);
  parts.conversation.peek().preferences.set({ model: "eye" });
  await settle(50);
  expect([buttons(said).length, buttons("Answer again").length]).toEqual([0, 2]);
});

const PICTURED = [{ type: "image_url", image_url: { url: "data:image/png;base64,eA==" } }, { type: "text", text: "What is this?" }];

test("a question with a picture is edited for a model that sees, and until one is chosen the editor says so", async () => {
  models();
  talk.service.conversation("c");
  talk.service.message("c", "user", PICTURED);
  talk.service.message("c", "assistant", "A cat", { model: "eye" });
  const { parts } = await room(talk, "/c/c");
  buttons("Edit")[0]!.click();
  const editor = document.querySelector<HTMLTextAreaElement>(".editor textarea")!;
  const send = buttons("Send as a new branch")[0]!;
  const said = () => document.querySelector(".editor .wrong")!.textContent;
  expect([said(), send.disabled]).toEqual(["blind cannot see pictures. Choose a model that can.", true]);
  type("And this?", editor);
  press("Enter");
  await settle();
  expect([editor.isConnected, talk.service.runs.length]).toEqual([true, 0]);
  parts.conversation.peek().preferences.set({ model: "eye" });
  expect([said(), send.disabled]).toEqual(["", false]);
  press("Enter");
  await settle();
  expect([editor.isConnected, talk.service.runs.map(({ body }) => body.message)]).toEqual([false, [[PICTURED[0], { type: "text", text: "And this?" }]]]);
});

test("an edited question is one branch, however often it is sent, and waits for an answer that is on its way", async () => {
  const { parts } = await room(talk);
  await ask("First");
  await cut("One");
  buttons("Edit")[0]!.click();
  const editor = document.querySelector<HTMLTextAreaElement>(".editor textarea")!;
  const conversation = parts.conversation.peek();
  conversation.ask("meanwhile");
  await settle();
  expect([document.querySelector(".editor .wrong")!.textContent, buttons("Send as a new branch")[0]!.disabled]).toEqual(["Wait for the answer, or stop it; then this can be sent.", true]);
  await cut("Two");
  type("Other", editor);
  const enter = () => editor.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
  enter();
  enter();
  await settle();
  expect(talk.service.runs.map(({ body }) => body.message)).toEqual(["First", "meanwhile", "Other"]);
  expect(turns()[0]).toBe("You, 2/2: Other");
  expect([...document.querySelectorAll(".actions")].map((bar) => bar.getAttribute("aria-label"))).toEqual(["Actions", "Actions"]);
});

test("a model that does not see the pictures before is said to be told of them only", async () => {
  models();
  talk.service.conversation("c");
  talk.service.message("c", "user", PICTURED);
  talk.service.message("c", "assistant", "A cat", { model: "eye" });
  const { parts } = await room(talk, "/c/c");
  const said = () => document.querySelector('.composer [role="status"]')!.textContent;
  expect(said()).toBe("blind does not see the pictures above; it is told that there were some.");
  parts.conversation.peek().preferences.set({ model: "unknown" });
  expect(said()).toBe("");
});

test("what the box complains of follows the language", async () => {
  models();
  await room(talk);
  const event = new Event("drop", { bubbles: true, cancelable: true });
  Object.assign(event, { dataTransfer: { types: ["Files"], files: [new File(["x"], "cat.png", { type: "image/png" })] } });
  document.body.dispatchEvent(event);
  await vi.waitFor(() => expect(complaint()).toBe("blind cannot see pictures. Choose a model that can."));
  language.value = "zh";
  expect(complaint()).toMatch(/^blind ?[\p{Script=Han}]/u);
  type("words");
  expect(complaint()).toBe("");
});

test("a question that the service does not answer for seconds says what may be the cause", async () => {
  await room(talk);
  talk.service.before = ({ path }) => (path === "ai/chat/stream-sse" ? new Promise(() => {}) : undefined);
  await ask("Hi");
  const said = () => document.querySelector(".mark p")!.textContent;
  expect(said()).toBe("Sending…");
  await settle(3100);
  expect(said()).toBe("Sending… The service has not answered yet. If too many windows of this page stream at once, close or hide one.");
});
