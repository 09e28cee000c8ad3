/** A message of a conversation as the page has it: from the storage, or made here. */

import { signal, type Signal } from "../signal.js";
import { draft, restored, type Stored, type Turn } from "../turn/index.js";
import { newId } from "./ids.js";
import type { TreeNode } from "./tree.js";
import { plain, type Content, type Feedback, type Message } from "./types.js";

export class MessageNode implements TreeNode {
  /** Its name on the page: it stays when the service gives it an id. */
  readonly key: string;
  readonly feedback: Signal<Feedback>;
  /** What has become of an answer; undefined for anything else. */
  readonly turn: Signal<Turn> | undefined;
  id: string;
  parentId: string | null;
  readonly role: Message["role"];
  content: Content;
  /** ISO 8601. */
  readonly createdAt: string;
  /** Whether the service has it. */
  stored: boolean;
  /** As it was read last. */
  message: Message | undefined;

  private constructor(known: { id: string; parentId: string | null; role: Message["role"]; content: Content; message?: Message }) {
    this.key = this.id = known.id;
    this.parentId = known.parentId;
    this.role = known.role;
    this.content = known.content;
    this.message = known.message;
    this.stored = known.message !== undefined;
    this.createdAt = known.message?.createdAt ?? new Date().toISOString();
    this.feedback = signal(known.message?.feedback ?? null);
    if (known.role === "assistant") this.turn = signal(known.message ? turnOf(known.message) : draft());
  }

  static question(content: Content, parentId: string | null): MessageNode {
    return new MessageNode({ id: newId(), parentId, role: "user", content });
  }

  static answer(parentId: string): MessageNode {
    return new MessageNode({ id: newId(), parentId, role: "assistant", content: "" });
  }

  static of(message: Message): MessageNode {
    return new MessageNode({ ...message, message });
  }

  get text(): string {
    return plain(this.content);
  }
}

export function storedOf({ status, content, reasoning, error }: Message): Stored {
  return { status, text: plain(content), reasoning: reasoning ?? "", error };
}

/** Return the turn of a stored answer; of one that is being generated, `known` is what was here before a reload. */
export function turnOf(message: Message, known: Partial<Turn> = {}): Turn {
  const { id, parentId, model, usage, runId, toolCalls, sources } = message;
  const more: Partial<Turn> = {
    runId: runId ?? "",
    model: model ?? "",
    answerId: id,
    ...(parentId && { questionId: parentId }),
    ...(usage && { usage }),
    // Those of an answer that is being generated come with its events.
    ...(message.status !== "generating" && { tools: toolCalls ?? [], sources: (sources ?? []).map(({ url, title }) => ({ url, title: title ?? undefined })) }),
    ...known,
  };
  return restored(storedOf(message), more, Date.now());
}
