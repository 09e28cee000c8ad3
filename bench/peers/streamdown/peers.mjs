/** Two other ways to show an answer that streams; each is given pieces, and shows the text so far. */

import DOMPurify from "dompurify";
import { marked } from "marked";
import { createElement } from "react";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { Streamdown } from "streamdown";

export function streamdown(element) {
  const root = createRoot(element);
  let text = "";
  return {
    add(piece) {
      text += piece;
      flushSync(() => root.render(createElement(Streamdown, {}, text)));
    },
    end() {},
    close: () => root.unmount(),
  };
}

/** The whole text is read, cleaned and drawn again for each piece. */
export function naive(element) {
  let text = "";
  return {
    add(piece) {
      text += piece;
      element.innerHTML = DOMPurify.sanitize(marked.parse(text));
    },
    end() {},
    close() {},
  };
}
