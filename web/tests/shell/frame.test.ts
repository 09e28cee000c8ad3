/** The frame against a service in memory: the list, the search, the settings, the key, and what the page says of itself. */

import { afterEach, beforeEach, expect, test } from "vitest";

import { Choices } from "../../src/data/choices.js";
import { Store } from "../../src/data/store.js";
import type { Parts } from "../../src/shell/parts.js";
import { follow } from "../../src/shell/follow.js";
import { openFrame } from "../../src/shell/frame.js";
import { Place } from "../../src/shell/place.js";
import { named, page, press } from "../support/frame.js";
import { json, refuse } from "../support/service.js";
import { settle, Talk } from "../support/talk.js";

let talk: Talk;
let parts: Parts;
let stops: number;

beforeEach(() => {
  talk = new Talk();
  history.replaceState(null, "", "/");
  stops = 0;
});
afterEach(() => talk.end());

async function open(width: "wide" | "narrow" = "wide"): Promise<void> {
  page(width);
  const data = talk.page();
  const place = new Place(new URL("/", location.href).href);
  const conversation = follow(data, place);
  parts = { data, place, conversation, choices: new Choices(new Store(() => talk.local)) };
  openFrame(parts, { focus: () => {}, cancelEdit: () => false, stop: () => ++stops > 0 });
  await data.start();
  await settle();
}

const titles = () => [...document.querySelectorAll(".row .title")].map(({ textContent }) => textContent);
const heading = () => document.querySelector("h1")!.textContent;
const said = () => document.querySelector("#notices")!.textContent;
const click = (selector: string, text: string) => named(selector, text).click();

function write(field: HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement, value: string): void {
  field.value = value;
  for (const type of ["input", "change"]) field.dispatchEvent(new Event(type, { bubbles: true }));
}

async function choose(title: string, action: string): Promise<void> {
  click(".row button", `Actions for “${title}”`);
  click('[role="menuitem"]', action);
  await settle();
}

test("the list has the newest first, in groups, and the open one is marked and is the heading", async () => {
  talk.service.conversation("one", "First question");
  talk.service.conversation("two", "", { updatedAt: new Date().toISOString() });
  await open();
  expect(titles()).toEqual(["New conversation", "First question"]);
  expect([...document.querySelectorAll(".groups h2")].map(({ textContent }) => textContent)).toEqual(["Today", "January 2026"]);
  click(".row a", "First question");
  await settle();
  expect(location.pathname).toBe("/c/one");
  expect([heading(), document.title]).toEqual(["First question", "First question · stream-serve"]);
  expect(document.querySelector("[aria-current]")!.textContent).toBe("First question");
});

test("a title is changed in its place: Enter keeps it, Esc does not", async () => {
  talk.service.conversation("one", "Old");
  await open();
  await choose("Old", "Rename");
  write(named("input", "Title of the conversation"), "Given up");
  press("Escape");
  await choose("Old", "Rename");
  write(named("input", "Title of the conversation"), "New");
  press("Enter", { isComposing: true });
  expect(talk.service.of("PATCH", "ai/conversations/one")).toHaveLength(0);
  press("Enter");
  await settle();
  expect(titles()).toEqual(["New"]);
  expect(talk.service.of("PATCH", "ai/conversations/one").map(({ body }) => body)).toEqual([{ title: "New" }]);
});

test("what is deleted can be brought back, and is deleted after that", async () => {
  talk.service.conversation("one", "First");
  talk.service.conversation("two", "Second");
  await open();
  await choose("First", "Delete");
  expect(titles()).toEqual(["Second"]);
  expect(document.querySelector(".toast")!.textContent).toContain("“First” is deleted.");
  const undo = named(".toast button", "Undo");
  undo.focus();
  undo.click();
  expect(titles()).toEqual(["Second", "First"]);
  await settle();
  expect(document.activeElement!.textContent).toBe("First");
  await choose("First", "Delete");
  await settle(8000);
  expect(talk.service.conversations.has("one")).toBe(false);
  expect(document.querySelector(".toast")).toBeNull();
});

test("what could not be deleted is back, and the page says why", async () => {
  talk.service.conversation("one", "First");
  talk.service.before = ({ method, path }) => {
    if (path === "ai/info") return json({ name: "stream-serve", version: "1", demo: false, authRequired: false, model: "small" });
    return method === "DELETE" ? refuse(409, "storage_full") : undefined;
  };
  await open();
  await choose("First", "Delete");
  await settle(8000);
  expect(titles()).toEqual(["First"]);
  expect(said()).toContain("No more fits into the storage.");
});

test("the open conversation that is deleted is left", async () => {
  talk.service.conversation("one", "First");
  await open();
  click(".row a", "First");
  await choose("First", "Delete");
  expect(location.pathname).toBe("/");
  expect(heading()).toBe("New conversation");
  await settle(8000);
});

test("the search marks what it finds, Enter opens it at its message, and Esc gives the list back", async () => {
  talk.service.conversation("one", "About a cursor");
  talk.service.conversation("two", "Another");
  const [message] = talk.service.exchange("two", "Where is the cursor?");
  await open();
  press("k", { ctrlKey: true });
  write(named("input", "Search"), "cursor");
  await settle(200);
  expect(titles()).toEqual(["About a cursor", "Another"]);
  expect([...document.querySelectorAll("mark")].map(({ textContent }) => textContent)).toEqual(["cursor", "cursor"]);
  press("ArrowDown");
  press("ArrowDown");
  (document.activeElement as HTMLElement).click();
  expect(parts.place.where.value).toEqual({ conversation: "two", message: message!.id });
  press("Escape");
  expect(document.querySelector("mark")).toBeNull();
  expect(stops).toBe(0);
  press("Escape");
  expect(stops).toBe(1);
});

test("the settings of the conversation go with it, and wrong ones are told and not kept", async () => {
  talk.service.conversation("one", "First");
  talk.service.before = ({ path }) =>
    path === "ai/models" ? json({ models: [{ name: "small", default: true, context: 1000, thinks: true, sees: null, tools: false }, { name: "large", default: false, context: null, thinks: null, sees: true, tools: null }], onlyListed: true }) : undefined;
  await open();
  click(".row a", "First");
  await settle();
  click("button", "Settings");
  write(document.querySelector<HTMLSelectElement>("#model")!, "large");
  write(document.querySelector<HTMLInputElement>("#temperature")!, "3");
  expect(document.querySelector("#temperature")!.parentElement!.textContent).toContain("A number from 0 to 2, or nothing.");
  write(document.querySelector<HTMLInputElement>("#temperature")!, "0,5");
  write(document.querySelector<HTMLInputElement>("#maximum")!, "1.5");
  write(document.querySelector<HTMLSelectElement>("#thinking")!, "false");
  await settle(1000);
  expect(talk.service.conversations.get("one")!.metadata).toEqual({ model: "large", temperature: 0.5, thinking: false });
  expect(document.querySelector("#open-model")!.textContent).toBe("large");
});

test("the most tokens that the operator allows are the default, and no more are taken", async () => {
  const info = { name: "stream-serve", version: "1", demo: false, authRequired: false, model: null, maxTokens: 1000, embedOrigins: [] };
  talk.service.before = ({ path }) => (path === "ai/info" ? json(info) : undefined);
  talk.service.conversation("one", "First");
  await open();
  click(".row a", "First");
  await settle();
  click("button", "Settings");
  const field = document.querySelector<HTMLInputElement>("#maximum")!;
  expect([field.placeholder, field.parentElement!.textContent]).toEqual(["1000", expect.stringContaining("Empty: 1,000, the most")]);
  write(field, "1001");
  expect(field.parentElement!.textContent).toContain("A whole number from 1 to 1,000, or nothing.");
  write(field, "1000");
  await settle(1000);
  expect(talk.service.conversations.get("one")!.metadata).toEqual({ maxTokens: 1000 });
});

test("what the operator has set for where nothing is chosen is said, for models that take it", async () => {
  const info = { name: "stream-serve", version: "1", demo: false, authRequired: false, model: null, maxTokens: null, temperature: 0.7, thinking: false, embedOrigins: [] };
  const model = { context: null, thinks: null, sees: null, tools: null, temperature: null };
  const models = [{ ...model, name: "small", default: true }, { ...model, name: "plain", default: false, thinks: false, temperature: false }];
  talk.service.before = ({ path }) => (path === "ai/info" ? json(info) : path === "ai/models" ? json({ models, onlyListed: true }) : undefined);
  await open();
  click("button", "Settings");
  const temperature = document.querySelector<HTMLInputElement>("#temperature")!;
  const usual = () => [temperature.placeholder, temperature.parentElement!.textContent, document.querySelector("#thinking option")!.textContent];
  expect(usual()).toEqual(["0.7", expect.stringContaining("Empty: 0.7, the service's default."), "Answer at once (the service's default)"]);
  write(document.querySelector<HTMLSelectElement>("#model")!, "plain");
  expect(usual()).toEqual(["", expect.stringContaining("Empty: the provider's own."), "As the model does by itself"]);
});

test("what is typed into a setting is taken at once, and of what is no setting nothing", async () => {
  await open();
  click("button", "Settings");
  const type = (id: string, ...values: string[]) => {
    const field = document.querySelector<HTMLInputElement>(id)!;
    field.focus();
    for (const value of values) {
      field.value = value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    return field;
  };
  type("#system-prompt", "Be", "Be brief");
  const field = type("#temperature", "1", "1.5");
  const chosen = () => parts.conversation.value.preferences.value.value;
  expect(chosen()).toEqual({ systemPrompt: "Be brief", temperature: 1.5 });
  field.dispatchEvent(new Event("change"));
  type("#temperature", "", "1", "15");
  expect([chosen().temperature, field.getAttribute("aria-invalid")]).toEqual([1.5, "false"]);
  field.dispatchEvent(new Event("change"));
  expect([chosen().temperature, field.getAttribute("aria-invalid")]).toEqual([1.5, "true"]);
});

test("the model is chosen in a menu that says what each can do", async () => {
  talk.service.before = ({ path }) =>
    path === "ai/models" ? json({ models: [{ name: "small", default: true, context: 128000, thinks: true, sees: null, tools: false }, { name: "large", default: false, context: null, thinks: null, sees: true, tools: true }], onlyListed: true }) : undefined;
  await open();
  click("button", "Model: small");
  const items = [...document.querySelectorAll('[role="menuitemradio"]')];
  expect(items.map((one) => [one.textContent, one.getAttribute("aria-checked")])).toEqual([
    ["small128,000 tokens · thinks", "true"],
    ["largesees pictures · calls tools", "false"],
  ]);
  (items[1] as HTMLElement).click();
  expect(parts.conversation.value.preferences.value.value.model).toBe("large");
});

test("another language is spoken at once, by all that is there and by what comes", async () => {
  talk.service.conversation("one", "First");
  await open();
  click("button", "Settings");
  write(document.querySelector<HTMLSelectElement>("#language")!, "zh");
  expect(document.documentElement.lang).toBe("zh-CN");
  expect([named("button", "新对话"), named(".row button", "对“First”的操作")]).toHaveLength(2);
  expect(document.querySelector(".groups h2")!.textContent).toBe("2026年1月");
  write(document.querySelector<HTMLSelectElement>("#theme")!, "dark");
  expect(document.documentElement.dataset["theme"]).toBe("dark");
  write(document.querySelector<HTMLSelectElement>("#language")!, "en");
  write(document.querySelector<HTMLSelectElement>("#theme")!, "");
});

test("a key is asked for where one is wanted, and one that cannot be one is not sent", async () => {
  talk.service.before = ({ key, path }) => (key === "Bearer right" || path === "ai/info" ? undefined : refuse(401, "unauthorized"));
  talk.service.conversation("one", "First");
  await open();
  const dialog = document.querySelector<HTMLDialogElement>("#key")!;
  expect(dialog.open).toBe(true);
  const give = (key: string) => {
    write(document.querySelector<HTMLInputElement>("#key-field")!, key);
    dialog.querySelector("form")!.dispatchEvent(new Event("submit", { cancelable: true }));
  };
  const asked = talk.service.asked.length;
  give("");
  expect(dialog.textContent).toContain("Type or paste the key.");
  give("sk-abc…xyz");
  expect(dialog.textContent).toContain("A key has no spaces");
  expect(talk.service.asked).toHaveLength(asked);
  give("wrong");
  await settle();
  expect(dialog.textContent).toContain("The service does not take this key.");
  give(" right ");
  await settle();
  expect(dialog.open).toBe(false);
  expect(titles()).toEqual(["First"]);
});

test("the page says that the service is away, and that it is back", async () => {
  let away = true;
  talk.service.before = ({ path }) => {
    if (away) throw new TypeError("network error");
    return path === "ai/info" ? json({ name: "stream-serve", version: "1", demo: false, authRequired: false, model: "small" }) : undefined;
  };
  await open();
  expect(said()).toContain("No connection to the service.");
  away = false;
  click("#notices button", "Try again");
  await settle();
  expect(said()).toBe("");
});

test("without the database the page says so, and that asking works", async () => {
  talk.service.before = ({ path }) => (path === "ai/conversations" ? refuse(503, "history_unavailable") : undefined);
  await open();
  expect(said()).toContain("The database cannot be reached. You can ask");
});

test("on a phone the list is a drawer that back closes, and a choice closes it, too", async () => {
  talk.service.conversation("one", "First");
  await open("narrow");
  const drawer = document.querySelector<HTMLDialogElement>("#drawer")!;
  expect(drawer.contains(document.querySelector("#side"))).toBe(true);
  click("button", "Open the conversations");
  expect(drawer.open).toBe(true);
  history.replaceState(null, "");
  dispatchEvent(new PopStateEvent("popstate"));
  expect([drawer.open, location.pathname]).toEqual([false, "/"]);
  click("button", "Open the conversations");
  click(".row a", "First");
  expect([drawer.open, location.pathname]).toEqual([false, "/c/one"]);
});

test("there is one heading of the first rank, one main place, and a name for each control", async () => {
  talk.service.conversation("one", "First");
  await open();
  click("button", "Settings");
  click("button", "Keys");
  expect(document.querySelectorAll("h1, main, nav")).toHaveLength(3);
  for (const control of document.querySelectorAll<HTMLElement>("button, a, input, select, textarea")) {
    const name = control.getAttribute("aria-label") ?? (control as HTMLInputElement).labels?.[0]?.textContent ?? control.textContent;
    if (control.id !== "open-model") expect(name?.trim(), control.outerHTML).toBeTruthy();
  }
});

test("a new conversation gets its address when it begins, and another new one begins behind it", async () => {
  await open();
  parts.conversation.value.ask("What is a cursor?");
  await settle();
  const first = parts.conversation.value.id.value!;
  expect(location.pathname).toBe(`/c/${first}`);
  expect([heading(), titles()]).toEqual(["What is a cursor?", ["What is a cursor?"]]);
  expect(document.title).toBe("(…) What is a cursor? · stream-serve");
  talk.service.run.end();
  await settle();
  press("O", { ctrlKey: true, shiftKey: true });
  expect([location.pathname, parts.conversation.value.id.value]).toEqual(["/", undefined]);
});

test("a press on the button of an open menu closes it, and the next one opens it", async () => {
  talk.service.conversation("one", "First");
  await open();
  const opener = named(".row button", "Actions for “First”");
  const menus = () => document.querySelectorAll(".menu").length;
  const pressDown = () => opener.dispatchEvent(new Event("pointerdown"));
  pressDown();
  opener.click();
  expect(menus()).toBe(1);
  pressDown();
  (document.querySelector(".menu") as HTMLElement).hidePopover(); // as the browser does
  opener.click();
  expect(menus()).toBe(0);
  pressDown();
  opener.click();
  expect(menus()).toBe(1);
});

test("without the database another new conversation can begin, too", async () => {
  talk.service.before = ({ path }) => (path.startsWith("ai/conversations") ? refuse(503, "history_unavailable") : undefined);
  await open();
  const first = parts.conversation.value;
  first.ask("What is a cursor?");
  await settle();
  dispatchEvent(new PopStateEvent("popstate"));
  expect(parts.conversation.value).toBe(first);
  click("button", "New conversation");
  expect(parts.conversation.value).not.toBe(first);
});
