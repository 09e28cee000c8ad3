/**
 * A `fetch` with which AG-UI's `HttpAgent` goes on where a connection was cut:
 *
 *     new HttpAgent({ url: "https://ai.example.com/ag-ui", fetch: resumingFetch() });
 *
 * How it works: stream-serve writes an `id:` after each group of events that belong together. Only whole groups
 * are passed on. When the connection ends before the run does, the same request goes out again with the newest
 * `id:` as `Last-Event-ID`, and brings the rest. The run goes on meanwhile (`onDisconnect: "continue"`), so that
 * `abortRun()` has to stop it by its id.
 */
export function resumingFetch({ tries = 8, pause = 500, fetch = globalThis.fetch } = {}) {
  return async (url, init) => {
    const asked = JSON.parse(init.body);
    const forwardedProps = { onDisconnect: "continue", ...asked.forwardedProps };
    const body = JSON.stringify({ ...asked, forwardedProps });
    const ask = (cursor) => {
      const headers = cursor ? { ...init.headers, "Last-Event-ID": cursor } : init.headers;
      return fetch(url, { ...init, body, headers });
    };
    const first = await ask();
    if (!first.ok) return first;
    const stop = new URL(`ai/runs/${first.headers.get("X-Run-Id")}/stop`, first.url);
    const headers = { Authorization: init.headers.Authorization ?? "" };
    init.signal?.addEventListener("abort", () => void fetch(stop, { method: "POST", headers }).catch(() => {}));
    const events = whole(ask, first, { tries, pause, signal: init.signal });
    const send = async (out) => {
      const { done, value } = await events.next();
      return done ? out.close() : out.enqueue(new TextEncoder().encode(value));
    };
    return new Response(new ReadableStream({ pull: send }), { headers: first.headers });
  };
}

/** Yield groups of events to the end of the run, over as many connections as that takes. */
async function* whole(ask, response, { tries, pause, signal }) {
  let cursor;
  for (let left = tries; left > 0; left -= 1) {
    let held = "";
    try {
      response ??= await ask(cursor);
      if (response.ok) {
        for await (const block of blocks(response.body)) {
          held += block;
          const id = /^id: (\d+)$/m.exec(block)?.[1];
          if (!id) continue;
          yield held;
          if (TERMINAL.test(held)) return;
          [cursor, held, left] = [id, "", tries];
        }
      } else if (response.status < 500) {
        return yield failed(await response.text());
      }
    } catch (error) {
      if (signal?.aborted) throw error;
    }
    // An end without a number is the stream's and not the run's, which goes on in another process.
    if (TERMINAL.test(held) && !held.includes('"code":"stream_moved"')) return yield held;
    response = undefined;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
  yield failed("the connection was lost");
}

async function* blocks(body) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (let text = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (text + decoder.decode(value, { stream: true })).split("\n\n");
    text = parts.pop();
    for (const part of parts) yield `${part}\n\n`;
  }
}

const TERMINAL = /^data: \{"type":"RUN_(FINISHED|ERROR)"/m;

const failed = (message) =>
  `data: ${JSON.stringify({ type: "RUN_ERROR", message, code: "connection_lost" })}\n\n`;
