/**
 * Before anything is painted: the colours that the reader has chosen, else those of the page around. A page that is white
 * for a moment is seen in the dark.
 */

let theme: string | null = null;
try {
  theme = localStorage.getItem("stream-serve.theme");
} catch {
  // The browser keeps nothing for the page.
}
theme ??= new URLSearchParams(location.search).get("theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset["theme"] = theme;

export {};
