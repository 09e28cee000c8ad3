/** What comes back: pictures to the box, and a search to a message that was shown before. */

import { afterEach, beforeEach, expect, test } from "vitest";

import { room, turns } from "../support/room.js";
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
