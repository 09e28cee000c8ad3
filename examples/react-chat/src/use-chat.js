/** A hook that asks the service and shows its answers; the client carries the hard parts. */

import { useCallback, useEffect, useRef, useState } from "react";

const KEPT = "stream-serve run";

/**
 * Return the messages so far, how the newest answer stands, and what may be done: `send`, `stop`.
 *
 * `client` is made once, outside of the component. `status` is "ready", "streaming", "lost" or "failed".
 */
export function useChat(client) {
  const [messages, setMessages] = useState([]);
  const [status, setStatus] = useState("ready");
  const [error, setError] = useState(null);
  const run = useRef(null);
  const conversation = useRef("new");

  const read = useCallback(async (asked, begin) => {
    const id = crypto.randomUUID?.() ?? String(Math.random());
    const change = (text) =>
      setMessages((all) => all.map((one) => (one.id === id ? { ...one, text } : one)));
    const question = { id: `${id} question`, role: "user", text: asked };
    setMessages((all) => [...all, question, { id, role: "assistant", text: "" }]);
    setError(null);
    const mine = begin({
      onText: (_, text) => change(text),
      onState: (now) => setStatus(now === "lost" ? "lost" : "streaming"),
      onEvent: (event) => {
        if (event.type === "start" && event.conversationId) conversation.current = event.conversationId;
      },
    });
    run.current = mine;
    sessionStorage.setItem(KEPT, JSON.stringify({ id: mine.id, asked }));
    try {
      await mine.result();
      setStatus("ready");
    } catch (failure) {
      setError(failure.message);
      setStatus("failed");
    } finally {
      if (run.current === mine) run.current = null;
      sessionStorage.removeItem(KEPT);
    }
  }, []);

  const send = useCallback(
    (message) => {
      if (run.current) return;
      const question = { message, conversationId: conversation.current, onDisconnect: "continue" };
      void read(message, (callbacks) => client.chat(question, callbacks));
    },
    [client, read],
  );

  const stop = useCallback(() => run.current?.stop(), []);

  // After a reload the answer goes on below its question. React may run an effect twice; a run is only joined once.
  useEffect(() => {
    const left = JSON.parse(sessionStorage.getItem(KEPT));
    if (left && !run.current) void read(left.asked, (callbacks) => client.follow(left.id, callbacks));
  }, [client, read]);

  return { messages, status, error, send, stop };
}
