/** What the widget around says in the address of this page; nothing where the page is alone. */

import type { Language } from "../words/index.js";

const said = new URLSearchParams(location.search);
const [language, theme] = [said.get("lang"), said.get("theme")];

/** Whether the page is in the panel of the widget. */
export const embedded = said.has("embedded");

/** The language and the colours of the page around, for who has chosen none. */
export const around: { readonly language: Language | ""; readonly theme: "" | "light" | "dark" } = {
  language: language === "en" || language === "zh" ? language : "",
  theme: theme === "light" || theme === "dark" ? theme : "",
};

/** Call a function whenever the panel is shown, or has the focus. */
export function onShown(call: () => void): void {
  if (!embedded) return;
  addEventListener("message", ({ source, data }) => source === parent && data?.type === "stream-serve:shown" && call());
}

/** Close the panel, where there is one: Esc found nothing else to close. */
export function leave(): boolean {
  if (embedded) parent.postMessage({ type: "stream-serve:leave" }, "*"); // no secret
  return embedded;
}
