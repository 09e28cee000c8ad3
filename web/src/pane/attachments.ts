/** What goes along with a question: text that was pasted, text files, and pictures, made smaller where they are large. */

import type { Content } from "../data/index.js";
import { withQuotes } from "./quote.js";

export type Attachment =
  | { readonly kind: "pasted"; readonly text: string }
  | { readonly kind: "file"; readonly name: string; readonly text: string }
  | { readonly kind: "picture"; readonly name: string; readonly src: string; readonly bytes: number };

/** Why something cannot go along. */
export type Refusal = "large" | "kind" | "picture";

/** A text that is longer becomes an attachment when it is pasted: the box stays quick, and the question readable. */
export const LONG = 8000;

/** A body of the service takes 1 MiB by default, with all that is asked along. */
export const MOST_TEXT = 256 * 1024;
export const MOST_PICTURE = 400 * 1024;
export const MOST = 1_000_000; // characters of a question with its pictures

const EDGES = [1568, 1024, 768]; // pixels; models see no more than the first of them
const QUALITIES = [0.85, 0.7];

/** Return a file as what goes along, or why it cannot. A picture is to be no longer than what is left for it, in characters. */
export async function read(file: File, left = MOST): Promise<Attachment | Refusal> {
  if (/^image\/(?:png|jpeg|gif|webp|avif|bmp)$/.test(file.type)) return shrunk(file, Math.min(MOST_PICTURE, left * 0.74));
  if (file.size > MOST_TEXT) return "large";
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    if (text.includes("\0")) return "kind";
    return { kind: "file", name: file.name, text: text.replace(/\r\n?/g, "\n") };
  } catch {
    return "kind";
  }
}

/** Return a picture that is small enough, drawn anew only where it is not. */
async function shrunk(file: File, most: number): Promise<Attachment | Refusal> {
  try {
    const bitmap = await createImageBitmap(file);
    const largest = Math.max(bitmap.width, bitmap.height);
    if (file.size <= most && largest <= EDGES[0]!) return taken(file.name, file);
    for (const edge of EDGES)
      for (const quality of QUALITIES) {
        const blob = await drawn(bitmap, Math.min(1, edge / largest), quality);
        if (blob && blob.size <= most) return taken(file.name, blob);
      }
  } catch {
    return "picture";
  }
  return "picture";
}

function drawn(bitmap: ImageBitmap, scale: number, quality: number): Promise<Blob | null> {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d")!;
  // JPEG knows no transparency, and would show it black.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
}

function taken(name: string, blob: Blob): Promise<Attachment> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ kind: "picture", name, src: String(reader.result), bytes: blob.size });
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** Return how many characters are left for more of what goes along. */
export function left(words: string, attachments: readonly Attachment[]): number {
  return attachments.reduce((room, one) => room - (one.kind === "picture" ? one.src : one.text).length, MOST - words.length);
}

/** Return the pictures of a question, to be in the box again. */
export function picturesOf(content: Content): Attachment[] {
  if (typeof content === "string") return [];
  return content.flatMap((part) => {
    const src = part["type"] === "image_url" && (part["image_url"] as { url?: unknown } | undefined)?.url;
    return typeof src === "string" ? [{ kind: "picture" as const, name: "", src, bytes: Math.round(src.length * 0.75) }] : [];
  });
}

/** Return a question as it is sent: the words, then what was pasted, then the files; with pictures, as parts. */
export function contentOf(words: string, attachments: readonly Attachment[]): Content {
  const pasted = attachments.flatMap((one) => (one.kind === "pasted" ? [one.text] : []));
  const files = attachments.flatMap((one) => (one.kind === "file" ? [one] : []));
  const text = withQuotes([words, ...pasted].map((one) => one.trim()).filter(Boolean).join("\n\n"), files);
  const pictures = attachments.flatMap((one) => (one.kind === "picture" ? [{ type: "image_url", image_url: { url: one.src } }] : []));
  return pictures.length ? [...pictures, ...(text ? [{ type: "text", text }] : [])] : text;
}
