import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { Client } from "stream-serve-client";

import { useChat } from "./use-chat.js";

const service = new URLSearchParams(location.search).get("service") ?? "http://127.0.0.1:3000";
const client = new Client({ baseUrl: service });

function Chat() {
  const { messages, status, error, send, stop } = useChat(client);
  const [message, setMessage] = useState("");
  const busy = status === "streaming" || status === "lost";

  function submit(event) {
    event.preventDefault();
    send(message);
    setMessage("");
  }

  return (
    <main>
      {messages.map(({ id, role, text }) => (
        <p key={id} className={role} style={{ whiteSpace: "pre-wrap" }}>
          {text}
        </p>
      ))}
      <form onSubmit={submit}>
        <input
          aria-label="Message"
          value={message}
          onChange={(event) => setMessage(event.target.value)}
          required
        />
        <button disabled={busy}>Send</button>
        <button type="button" disabled={!busy} onClick={stop}>
          Stop
        </button>
      </form>
      <p role="status">{error ?? (status === "lost" ? "The connection is made again…" : "")}</p>
    </main>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <Chat />
  </StrictMode>,
);
