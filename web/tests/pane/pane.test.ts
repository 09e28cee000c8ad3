/** What a person sees and does in the room for the conversation. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { language } from "../../src/words/index.js";
import { named, press } from "../support/frame.js";
import { pictures } from "../support/pictures.js";
import { box, room, turns, type } from "../support/room.js";
import { json, refuse } from "../support/service.js";
import { settle, Talk } from "../support/talk.js";

let talk: Talk;

beforeEach(() => void (talk = new Talk()));
afterEach(() => talk.end());

const send = () => document.querySelector<HTMLButtonElement>(".send")!;
const click = (name: string, selector = "button") => named(selector, name).click();

async function ask(words: string): Promise<void> {
  type(words);
  press("Enter");
  await settle();
}

async function answer(words: string): Promise<void> {
  talk.service.run.say(words);
  talk.service.run.end();
  await settle(500);
}

test("a fresh page says one sentence, and the box has the focus", async () => {
  await room(talk);
  expect(document.querySelector("main[data-empty] .empty")!.textContent).toBe("What would you like to know?");
  expect(document.activeElement).toBe(box());
  expect(box().getAttribute("aria-label")).toBe("Message");
});

test("a question is there at once, its answer as it comes, and Send is Stop on the same element", async () => {
  await room(talk);
  const button = send();
  await ask("Hello");
  expect([turns()[0], box().value]).toEqual(["You: Hello", ""]);
  expect([send(), button.getAttribute("aria-label")]).toEqual([button, "Stop"]);
  talk.service.run.say("**Hi** ");
  await settle(50);
  expect(turns()).toEqual(["You: Hello", "m: Hi"]);
  const bold = document.querySelector("strong");
  talk.service.run.say("there");
  talk.service.run.end();
  await settle(500);
  expect(turns()[1]).toBe("m: Hi there");
  expect(document.querySelector("strong")).toBe(bold);
  expect(button.getAttribute("aria-label")).toBe("Send");
});

test("a question is text: nothing in it is read as Markdown or as HTML", async () => {
  await room(talk);
  await ask("<b>x</b> **y**");
  expect(turns()[0]).toBe("You: <b>x</b> **y**");
});

test.each([
  ["an input method has it", { isComposing: true }],
  ["Safari has ended the word already", { keyCode: 229 }],
  ["Shift breaks the line", { shiftKey: true }],
])("Enter does not send where %s", async (_, more) => {
  await room(talk);
  type("nihao");
  press("Enter", more);
  await settle();
  expect([turns(), box().value]).toEqual([[], "nihao"]);
});

test("where Enter breaks the line, it does not send, and with Ctrl it does", async () => {
  const { parts } = await room(talk);
  parts.choices.set("enter", "breaks");
  type("one");
  expect(press("Enter")).toBe(false);
  expect(box().getAttribute("enterkeyhint")).toBe("enter");
  press("Enter", { ctrlKey: true });
  await settle();
  expect(turns()[0]).toBe("You: one");
});

test("a stop keeps the text, and its mark has the receipt", async () => {
  const { pane } = await room(talk);
  await ask("Long");
  talk.service.run.say("Some text");
  await settle(50);
  expect(pane.stop()).toBe(true);
  await settle(3000);
  expect(turns()[1]).toBe("m: Some text");
  const mark = document.querySelector(".mark")!;
  expect(mark.querySelector("p")!.textContent).toBe("Stopped, the provider's connection closed after 12 ms · 2 tokens");
  expect([...mark.querySelectorAll("dt")].map((one) => one.textContent)).toContain("Connection to the provider");
  expect(pane.stop()).toBe(false);
});

test("a stop before the first word gives the question back to the box", async () => {
  const { pane } = await room(talk);
  await ask("Give it back");
  pane.stop();
  await settle(3000);
  expect(box().value).toBe("Give it back");
});

test("what is sent meanwhile waits above the box, can be changed and taken back, and goes in its order", async () => {
  await room(talk);
  await ask("One");
  for (const words of ["Two", "Three", "Four"]) await ask(words);
  const waiting = () => [...document.querySelectorAll(".next .words")].map((one) => one.textContent);
  expect(waiting()).toEqual(["Next: Two", "Next: Three", "Next: Four"]);
  [...document.querySelectorAll<HTMLElement>(".next [aria-label^=Withdraw]")][2]!.click();
  [...document.querySelectorAll<HTMLElement>(".next [aria-label^=Edit]")][0]!.click();
  expect([box().value, waiting()]).toEqual(["Two", ["Next: Three"]]);
  press("Enter");
  await answer("1");
  expect(turns().at(-2)).toBe("You: Three");
  await answer("3");
  expect(turns().at(-2)).toBe("You: Two");
  expect(document.querySelector<HTMLElement>(".waiting")!.hidden).toBe(true);
});

test("thoughts are one line with their time, and stay as the person left them", async () => {
  await room(talk);
  await ask("Think");
  talk.service.run.send({ type: "reasoning", content: "Let me see." });
  await settle(8000);
  const thoughts = document.querySelector("details")!;
  expect(thoughts.querySelector("summary")!.textContent).toBe("Thinking, 8 s");
  expect([thoughts.open, thoughts.querySelector(".body")!.textContent]).toEqual([false, ""]);
  thoughts.open = true;
  thoughts.dispatchEvent(new Event("toggle"));
  expect(thoughts.querySelector(".body")!.textContent).toBe("Let me see.");
  await answer("Done");
  expect([thoughts.open, thoughts.isConnected, thoughts.querySelector("summary")!.textContent]).toEqual([true, true, "Thought for 8 s"]);
});

test("what went wrong says what to do, counts down, and can be tried again", async () => {
  await room(talk);
  talk.service.before = ({ path }) => (path === "ai/chat/stream-sse" ? refuse(429, "too_many_runs", { "Retry-After": "30" }) : undefined);
  await ask("Hi");
  await settle(100);
  const row = document.querySelector(".trouble")!;
  expect(row.querySelector('[role="alert"]')!.textContent).toBe("Not sent: Too many requests at once. Try again.");
  const retry = named<HTMLButtonElement>("button", "Try again");
  expect([retry.disabled, row.querySelector(".note")!.textContent]).toEqual([true, "Possible in 30 s"]);
  await settle(31_000);
  expect(retry.disabled).toBe(false);
  talk.service.before = () => undefined;
  retry.click();
  await settle();
  await answer("Now");
  expect(turns()).toEqual(["You: Hi", "m: Now"]);
});

test("answers again, and versions are switched with the focus on the switch", async () => {
  await room(talk);
  await ask("Hi");
  await answer("First");
  click("Answer again");
  await settle();
  await answer("Second");
  expect(turns()).toEqual(["You: Hi", "m, 2/2: Second"]);
  named("button", "Version before").focus();
  click("Version before");
  await settle();
  expect(turns()).toEqual(["You: Hi", "m, 1/2: First"]);
  expect(document.activeElement!.getAttribute("aria-label")).toBe("Version before");
  click("Version before");
  expect(turns()[1]).toBe("m, 1/2: First");
});

test("a question is edited in its place: Esc restores it, and Send makes a branch", async () => {
  const { pane } = await room(talk);
  await ask("First");
  await answer("One");
  click("Edit");
  const editor = document.querySelector<HTMLTextAreaElement>(".editor textarea")!;
  expect([editor.value, document.activeElement]).toEqual(["First", editor]);
  type("Other", editor);
  expect(pane.cancelEdit()).toBe(true);
  expect([turns()[0], pane.cancelEdit()]).toEqual(["You: First", false]);
  click("Edit");
  type("Other", document.querySelector<HTMLTextAreaElement>(".editor textarea")!);
  press("Enter");
  await settle();
  await answer("Two");
  expect(turns()).toEqual(["You, 2/2: Other", "m: Two"]);
});

test("a thumb is stored with the message, and can be taken back", async () => {
  await room(talk);
  await ask("Hi");
  await answer("Hello");
  click("Good answer");
  await settle();
  expect(named("button", "Good answer").getAttribute("aria-pressed")).toBe("true");
  click("Good answer");
  await settle();
  expect(talk.service.asked.filter(({ body }) => body && "feedback" in body).map(({ body }) => body.feedback)).toEqual(["up", null]);
});

test("a conversation opens with its newest messages; older ones stand above them when they are wanted", async () => {
  talk.service.conversation("c");
  talk.service.exchange("c", ...Array.from({ length: 100 }, (_, at) => `t${at}`));
  await room(talk, "/c/c");
  expect([turns().length, turns().at(-1)]).toEqual([60, "Answer: t99"]);
  const last = document.querySelector("article:last-of-type");
  click("Show older messages");
  await settle();
  expect([turns().length, turns()[0]]).toEqual([100, "You: t0"]);
  expect(document.querySelector("article:last-of-type")).toBe(last);
});

test("the whole conversation can be loaded, to be searched or printed", async () => {
  talk.service.conversation("c");
  talk.service.exchange("c", ...Array.from({ length: 400 }, (_, at) => `t${at}`));
  await room(talk, "/c/c");
  click("Load the whole conversation");
  await settle(50);
  await settle(50);
  expect([turns().length, document.querySelector(".older")]).toEqual([400, null]);
});

test("tools, sources and what was cut by a limit are shown with the answer", async () => {
  await room(talk);
  await ask("Search");
  const { run } = talk.service;
  run.send({ type: "tool_call", index: 0, id: "1", name: "search" }, { type: "tool_arguments", index: 0, content: '{"q":1}' });
  run.send({ type: "source", url: "https://a.test/x", title: "A" }, { type: "source", url: "javascript:alert(1)", title: "B" });
  run.say("Found");
  run.end("length");
  await settle(500);
  expect(document.querySelector(".card summary")!.textContent).toBe("Tool search");
  expect([...document.querySelectorAll<HTMLAnchorElement>(".sources a")].map(({ href }) => href)).toEqual(["https://a.test/x"]);
  expect(document.querySelector(".mark p")!.textContent).toBe("Cut at the longest length that was allowed");
  click("Continue");
  await settle();
  expect(turns().at(-2)).toBe("You: Continue");
});

test("a screen reader hears that it answers, sentences, and its end, with time to hear each; the turns themselves are silent", async () => {
  await room(talk);
  const heard = () => document.querySelector('main [role="status"][aria-live="polite"]')!.textContent;
  expect(document.querySelector('[role="log"]')!.getAttribute("aria-live")).toBe("off");
  await ask("Hi");
  expect(heard()).toBe("Answering");
  talk.service.run.say("One sentence. And ha");
  await settle(600);
  expect(heard()).toBe("Answering");
  await settle(2500);
  expect(heard()).toBe("One sentence.");
  await answer("lf.");
  await settle(3100);
  expect(heard()).toBe("And half. Answer complete, 4 words");
});

test("in a long silence a screen reader hears how the answer stands", async () => {
  await room(talk);
  const heard = () => document.querySelector('main [role="status"][aria-live="polite"]')!.textContent;
  await ask("Hi");
  await settle(14_900);
  expect(heard()).toBe("");
  await settle(200);
  expect(heard()).toBe("Waiting for the first word…");
});

test("drafts belong to their conversation, with their files", async () => {
  talk.service.conversation("c");
  talk.service.exchange("c", "q", "a");
  const { parts } = await room(talk);
  type("draft of the new one\n\n``` file: a.txt\nx\n```");
  await settle(400);
  parts.place.go({ conversation: "c" });
  await settle();
  expect([box().value, turns()[0]]).toEqual(["", "You: q"]);
  parts.place.go();
  await settle();
  expect(box().value).toBe("draft of the new one");
  expect(document.querySelector(".chip summary")!.textContent).toBe("Text of a.txt, 1 line");
  click("Remove Text of a.txt, 1 line");
  expect(document.querySelector(".chip")).toBeNull();
});

test("what came back to the box does not come back again over what was typed since", async () => {
  talk.service.conversation("c");
  const { pane, parts } = await room(talk);
  await ask("Back");
  pane.stop();
  await settle(3000);
  type("Better");
  await settle(400);
  const { conversation } = parts.place.where.peek();
  parts.place.go({ conversation: "c" });
  await settle();
  parts.place.go({ conversation });
  await settle();
  expect(box().value).toBe("Better");
});

test("while an input method has the box, what comes back waits for it, and stands before what was typed", async () => {
  const { pane } = await room(talk);
  await ask("One");
  await ask("Two");
  box().dispatchEvent(new Event("compositionstart"));
  type("ni");
  pane.stop();
  await settle(3000);
  expect(box().value).toBe("ni");
  type("你");
  box().dispatchEvent(new Event("compositionend"));
  expect(box().value).toBe("Two\n\n你");
});

test("the focus is never lost when a button or a turn goes", async () => {
  await room(talk);
  await ask("Hi");
  await answer("Hello");
  named("button", "Answer again").focus();
  click("Answer again");
  await settle();
  expect(document.activeElement).toBe(box());
});

test("a selection is copied as clean text and HTML", async () => {
  await room(talk);
  await ask("Hi");
  await answer("**Bold** `code`");
  document.getSelection()!.selectAllChildren(document.querySelector(".answer")!);
  const copied: Record<string, string> = {};
  const event = new Event("copy", { bubbles: true, cancelable: true });
  Object.assign(event, { clipboardData: { setData: (kind: string, data: string) => (copied[kind] = data) } });
  document.querySelector(".answer p")!.dispatchEvent(event);
  expect(copied["text/plain"]).toBe("Bold code");
  expect(copied["text/html"]).toContain("<strong>Bold</strong>");
});

test("a long paste is a chip, sent as text; of text and a picture the text is meant", async () => {
  await room(talk);
  const paste = (words: string, files: File[] = []) => {
    const event = new Event("paste", { bubbles: true, cancelable: true });
    Object.assign(event, { clipboardData: { getData: () => words, files } });
    return box().dispatchEvent(event);
  };
  expect(paste("short", [new File(["x"], "a.png", { type: "image/png" })])).toBe(true);
  expect(paste("line\n".repeat(4000))).toBe(false);
  expect(document.querySelector(".chip summary")!.textContent).toBe("Pasted text, 4,000 lines");
  await ask("Sum up");
  expect(talk.service.run.body.message).toBe(`Sum up\n\n${"line\n".repeat(4000).trim()}`);
  expect(document.querySelector(".chip")).toBeNull();
});

test("Alt with an arrow goes from turn to turn", async () => {
  await room(talk);
  await ask("Hi");
  await answer("Hello");
  press("ArrowUp", { altKey: true });
  expect(document.activeElement!.getAttribute("aria-label")).toBe("m");
  press("ArrowUp", { altKey: true });
  expect(document.activeElement!.getAttribute("aria-label")).toBe("You");
});

test("all of it speaks the language that is chosen, and nothing is made anew for that", async () => {
  await room(talk);
  await ask("Hi");
  await answer("Hello");
  const [question, text] = document.querySelectorAll("article, .answer p");
  language.value = "zh";
  await settle();
  expect([question!.getAttribute("aria-label"), box().getAttribute("aria-label"), send().title]).toEqual(["你", "消息", "发送"]);
  expect([text!.isConnected, named("button", "重新回答").isConnected]).toEqual([true, true]);
  language.value = "en";
});

/** Drop a picture whose decoding takes until what is returned is called. */
function slowly(name = "cat"): () => void {
  let decoded = () => {};
  pictures(10, 10, () => 1);
  vi.stubGlobal("createImageBitmap", () => new Promise((resolve) => (decoded = () => resolve({ width: 10, height: 10 }))));
  const event = new Event("drop", { bubbles: true, cancelable: true });
  Object.assign(event, { dataTransfer: { types: ["Files"], files: [new File(["x"], `${name}.png`, { type: "image/png" })] } });
  document.body.dispatchEvent(event);
  return () => decoded();
}

test("what is sent while a picture is read takes it along; what is typed after that takes the sending back", async () => {
  await room(talk);
  for (const more of ["", " And this?"]) {
    const decoded = slowly();
    type("What is this?");
    press("Enter");
    if (more) type(`What is this?${more}`);
    await settle();
    expect(talk.service.of("POST", "ai/chat/stream-sse").length).toBe(more ? 1 : 0);
    decoded();
    await vi.waitFor(() => expect([box().value, document.querySelectorAll(".chip").length]).toEqual(more ? ["What is this? And this?", 1] : ["", 0]));
    if (!more) await answer("A cat");
  }
  expect(talk.service.of("POST", "ai/chat/stream-sse")).toMatchObject([{ body: { message: [{ type: "image_url" }, { type: "text", text: "What is this?" }] } }]);
});

test("a picture that is read while another conversation is opened does not come into its box", async () => {
  const { parts } = await room(talk);
  await ask("Hi");
  await answer("Hello");
  const decoded = slowly();
  await settle();
  parts.place.go();
  await settle();
  decoded();
  await settle();
  const other = slowly("dog");
  await settle();
  other();
  const names = () => [...document.querySelectorAll(".chip span")].map((one) => one.textContent);
  await vi.waitFor(() => expect(names()).toContain("Picture dog.png, 1 KB"));
  expect(names()).toEqual(["Picture dog.png, 1 KB"]);
});

test("files are dropped anywhere; a picture only where the model sees, and it is in the box again when it is taken back", async () => {
  let sees = false;
  talk.service.before = ({ path }) => (path === "ai/models" ? json({ models: [{ name: "eye", default: true, context: null, thinks: null, sees, tools: null }], onlyListed: false }) : undefined);
  const { parts } = await room(talk);
  pictures(10, 10, () => 1);
  const drop = async (...files: File[]) => {
    const event = new Event("drop", { bubbles: true, cancelable: true });
    Object.assign(event, { dataTransfer: { types: ["Files"], files } });
    expect(document.body.dispatchEvent(event)).toBe(false);
    await vi.waitFor(() => expect(document.querySelector(".chip, .composer .wrong:not(:empty)")).not.toBeNull());
  };
  const picture = new File(["x"], "cat.png", { type: "image/png" });
  await drop(picture);
  expect(document.querySelector(".composer .wrong")!.textContent).toBe("eye cannot see pictures. Choose a model that can.");
  sees = true;
  await parts.data.start();
  await ask("Hi");
  type("What is this?");
  await drop(picture);
  await vi.waitFor(() => expect(document.querySelector(".chip span")?.textContent).toBe("Picture cat.png, 1 KB"));
  press("Enter");
  expect(document.querySelector(".chip")).toBeNull();
  click("Edit the next question");
  expect([box().value, document.querySelector(".chip img")!.getAttribute("src")]).toEqual(["What is this?", "data:image/png;base64,eA=="]);
});

test("a message that was looked for is shown, with those before it", async () => {
  talk.service.conversation("c");
  const all = talk.service.exchange("c", ...Array.from({ length: 100 }, (_, at) => `t${at}`));
  await room(talk, `/c/c#${all[3]!.id}`);
  await settle();
  expect(document.querySelector(".found .answer")!.textContent).toBe("t3");
  expect(document.querySelector("[data-mode]")!.getAttribute("data-mode")).toBe("reading");
});

test("a conversation that is not there says so", async () => {
  await room(talk, "/c/none");
  expect(document.querySelector(".log")!.textContent).toContain("This conversation is not there.");
});
