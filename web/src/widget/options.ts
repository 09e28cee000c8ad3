/** What the page says of the chat, in attributes of the script. */

export interface Options {
  /** Where the service is, with a slash at its end. */
  readonly service: URL;
  readonly position: "right" | "left";
  /** The name of the chat, or "" for the usual one. */
  readonly title: string;
  readonly language: "en" | "zh";
  /** "" is what the system says. */
  readonly theme: "" | "light" | "dark";
  /** Whether there is a button; a page with one of its own calls `open`. */
  readonly button: boolean;
}

/**
 * Return the element that loaded this script. A module does not know it: it is the script that says where the service is.
 * Elements of the page's users may have names that hide what a document has, so that what is found has to be a script.
 */
export function ownScript(): HTMLScriptElement | undefined {
  const { currentScript } = document;
  if (currentScript instanceof HTMLScriptElement) return currentScript;
  const found = document.querySelector('script[type="module"][data-service]');
  return found instanceof HTMLScriptElement ? found : undefined;
}

/** Return what a script's attributes say. Throws where they do not say where the service is. */
export function read({ src, dataset }: HTMLScriptElement): Options {
  const { service, position, title = "", lang, theme = "", button } = dataset;
  const spoken = lang ?? (document.documentElement.lang || navigator.language);
  return {
    service: service ? new URL(service.replace(/\/*$/, "/"), document.baseURI) : new URL(".", src),
    position: position === "left" ? "left" : "right",
    title,
    language: /^zh\b/i.test(spoken) ? "zh" : "en",
    theme: theme === "light" || theme === "dark" ? theme : "",
    button: button !== "none",
  };
}
