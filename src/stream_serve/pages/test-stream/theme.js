// Before anything is painted: the colours that the reader has chosen on the chat page, where these are not the system's.

try {
  const theme = localStorage.getItem("stream-serve.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // The browser keeps nothing for the page: the colours are the system's.
}
