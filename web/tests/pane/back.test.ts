/** What comes back: pictures to the box, and a search to a message that was shown before. */

import { afterEach, beforeEach, expect, test } from "vitest";

import { box, room, turns } from "../support/room.js";
import { settle, Talk } from "../support/talk.js";

let talk: Talk;
beforeEach(() => void (talk = new Talk()));
afterEach(() => talk.end());

const picture = { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } };

test("a picture that waited behind a stopped answer is at the box again, and can be sent", async () => {
  const { parts } = await room(talk);
  const one = parts.conversation.peek();
  one.ask("Hello");
  await settle();
  talk.service.run.say("Hi");
  one.ask([picture, { type: "text", text: "What is this?" }]);
  await settle();
  void one.stop();
  await settle();
  document.querySelector<HTMLFormElement>("form.composer")!.requestSubmit();
  await settle();
  expect(talk.service.run.body.message).toEqual([picture, { type: "text", text: "What is this?" }]);
});

test("pictures that come back while another conversation is open are at their own box, as are those that were not sent", async () => {
  const { parts } = await room(talk);
  const one = parts.conversation.peek();
  await talk.exchange(one, "Hello", "Hi");
  one.ask("Go on");
  await settle();
  talk.service.run.say("And so on");
  one.ask([picture, { type: "text", text: "What is this?" }]);
  const id = one.id.peek()!;
  parts.place.go();
  await settle();
  void one.stop();
  await settle();
  expect(document.querySelectorAll(".chip").length).toBe(0);
  parts.place.go({ conversation: id });
  await settle();
  expect([document.querySelectorAll(".chip img").length, box().value]).toEqual([1, "What is this?"]);
  parts.place.go();
  await settle();
  parts.place.go({ conversation: id });
  await settle();
  document.querySelector<HTMLFormElement>("form.composer")!.requestSubmit();
  await settle();
  expect(talk.service.run.body.message).toEqual([picture, { type: "text", text: "What is this?" }]);
  expect(document.querySelectorAll(".chip").length).toBe(0);
});

test("the same message is shown each time that the reader goes to it", async () => {
  talk.service.conversation("c");
  const [question] = talk.service.exchange("c", "one", "1", "two", "2");
  const { parts } = await room(talk);
  for (let time = 0; time < 2; time++) {
    parts.place.go({ conversation: "c", message: question!.id });
    await settle(100);
    expect(document.querySelector(".found")?.textContent).toContain("one");
    await settle(10_000);
    expect(document.querySelector(".found")).toBeNull();
  }
  expect(turns().length).toBe(4);
});
