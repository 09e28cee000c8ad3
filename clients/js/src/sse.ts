/** Server-Sent Events from text, after the WHATWG rules ("Interpreting an event stream"); but an id is its event's alone. */

export interface Item {
  id: string;
  event: string;
  data: string;
}

/** Return a function that takes a piece of a stream and returns the events that it completed. */
export function parser(onRetry?: (milliseconds: number) => void): (text: string) => Item[] {
  let rest = "";
  let id = "";
  let event = "";
  let data: string[] = [];
  return (text) => {
    const items: Item[] = [];
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line) {
        if (data.length) items.push({ id, event, data: data.join("\n") });
        // An event without a number of its own has none: its stream ends without the run's end.
        id = event = "";
        data = [];
        continue;
      }
      const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (name === "data") data.push(value);
      else if (name === "event") event = value;
      else if (name === "id" && !value.includes("\0")) id = value;
      else if (name === "retry" && /^\d{1,9}$/.test(value)) onRetry?.(+value);
    }
    return items;
  };
}
