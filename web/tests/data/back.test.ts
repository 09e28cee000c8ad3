/** What must not get lost: what is chosen, and the pictures of what comes back to the box. */

import { afterEach, beforeEach, expect, it } from "vitest";

import { settle, Talk } from "../support/talk.js";

let talk: Talk;
beforeEach(() => void (talk = new Talk()));
afterEach(() => talk.end());

const picture = { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } };

it("finds what was chosen before the first question again, also for the next change", async () => {
  const data = talk.page();
  const one = await talk.open(undefined, data);
  one.preferences.set({ model: "large", systemPrompt: "Be brief" });
  await talk.exchange(one, "Hello", "Hi");
  await settle(1000);
  await one.reread();
  expect(one.preferences.value.peek()).toMatchObject({ model: "large", systemPrompt: "Be brief" });
  const id = one.id.peek()!;
  one.close();
  const again = await talk.open(id, data);
  expect(again.preferences.value.peek()).toMatchObject({ model: "large", systemPrompt: "Be brief" });
  again.preferences.set({ temperature: 0 });
  await settle(1000);
  expect(talk.service.conversations.get(id)!.metadata).toEqual({ model: "large", systemPrompt: "Be brief", temperature: 0 });
});

it("reads what another device has chosen", async () => {
  const one = await talk.open();
  await talk.exchange(one, "Hello", "Hi");
  talk.service.conversations.get(one.id.peek()!)!.metadata = { model: "large" };
  await one.reread();
  expect(one.preferences.value.peek()).toEqual({ model: "large" });
});

it("gives back the pictures of what waited behind a stopped answer, and of the question", async () => {
  const data = talk.page();
  const one = await talk.open(undefined, data);
  one.ask([picture, { type: "text", text: "Hello" }]);
  await settle();
  one.ask([picture]);
  void one.stop();
  await settle();
  expect([one.box.peek(), data.drafts.pictures(one.place).map(({ src }) => src)]).toEqual([{ text: "Hello" }, [picture.image_url.url, picture.image_url.url]]);
});
