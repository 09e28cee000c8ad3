/**
 * The chat in any page: `<script src="https://…/widget.js"></script>`.
 *
 * A page may say `window.StreamServe = { token: … }` before, and calls `StreamServe.open()` and `.close()` after; each
 * attribute of the script is in `options.ts`. Loaded again, it is the same chat, put back where the page lost it.
 */

import { ownScript, read } from "./options.js";
import { Panel } from "./panel.js";

interface Api {
  open(): Promise<void>;
  close(): Promise<void>;
  token?: (() => string | Promise<string>) | undefined;
}

const MARK = Symbol.for("stream-serve.widget");
const page = window as unknown as { StreamServe?: Partial<Api>; [MARK]?: Promise<Panel> };

const body = (): Promise<unknown> | undefined =>
  document.body ? undefined : new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve, { once: true }));

async function start(script: HTMLScriptElement): Promise<Panel> {
  const options = read(script);
  await body();
  return new Panel(options);
}

/** Return what the page calls; what it has said before counts. */
function api(panel: Promise<Panel>, before: Partial<Api> | undefined): Api {
  let token: Api["token"];
  const made = {
    open: async () => (await panel).open(),
    close: async () => (await panel).close(),
    get token() {
      return token;
    },
    set token(given) {
      token = given;
      void panel.then((one) => (one.token = given));
    },
  } satisfies Api;
  if (before?.token) made.token = before.token;
  return made;
}

const script = ownScript();
const there = page[MARK];
if (there) void there.then((panel) => panel.attach());
else if (script) {
  page[MARK] = start(script);
  page.StreamServe = api(page[MARK], page.StreamServe);
} else console.error('stream-serve: load this file with <script src="https://…/widget.js"></script>');
