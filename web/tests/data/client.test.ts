/** The client in a page: where no route but the run's is reached, and where tabs cannot talk to each other. */

import { afterEach, expect, it, vi } from "vitest";

import { Client } from "../../../clients/js/src/index.js";
import { FakeService, json } from "../support/service.js";

afterEach(() => void vi.unstubAllGlobals());

/** Follow and stop something; return the paths that a server is asked for. */
async function paths(start: (client: Client) => { stop(): Promise<unknown>; leave(): void }): Promise<string[]> {
  const asked: string[] = [];
  const fetch = async (input: RequestInfo | URL) => {
    asked.push(new URL(String(input)).pathname);
    return json({}, 404);
  };
  const run = start(new Client({ baseUrl: "http://test/", fetch, share: false, patience: 0 }));
  await run.stop().catch(() => {});
  run.leave();
  return [...new Set(asked)].sort();
}

it.each(["..", ".", "...", "../models", "a/../b", "a/./b", "%2e%2e", "%2E", "a\\..\\b", "../../x?y#z", "a/.."])("the id %j reaches no route but its own", async (id) => {
  const parts = id.split("/").length;
  for (const path of await paths((client) => client.follow(id))) {
    expect(path).toMatch(/^\/ai\/runs\/.+\/(events|stop)$/);
    expect(path.split("/").length).toBe(parts + 4);
  }
  for (const path of await paths((client) => client.tail(id))) expect(path).toMatch(/^\/ai\/streams\/.+\/(events|stop)$/);
});

it("a name of several parts, with dots in them, stays as it is", async () => {
  expect(await paths((client) => client.tail("jobs/v1.2/.x"))).toEqual(["/ai/streams/jobs/v1.2/.x/events", "/ai/streams/jobs/v1.2/.x/stop"]);
});

it("asks where a page may not talk to others", async () => {
  vi.stubGlobal("BroadcastChannel", class {
    constructor() {
      throw new DOMException("", "SecurityError");
    }
  });
  const service = new FakeService();
  const run = new Client({ baseUrl: "http://test/", fetch: service.fetch }).chat("Hello");
  await vi.waitFor(() => expect(run.state).toBe("streaming"));
  service.run.say("Hi");
  service.run.end();
  expect((await run.result()).text).toBe("Hi");
});
