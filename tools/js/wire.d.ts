// What the debug page alone reads over HTTP, for the type checker alone; the service defines it in web/routes. What it
// shares with other pages (questions, events, receipts) is in clients/js/src/types.ts.

declare namespace Wire {
  /** What the service says of itself. */
  interface Info {
    name: string;
    version: string;
    demo: boolean;
    authRequired: boolean;
    model: string | null;
  }

  /** A model that a request may name; null is not known. */
  interface Model {
    name: string;
    default: boolean;
    context: number | null;
    thinks: boolean | null;
    sees: boolean | null;
    tools: boolean | null;
    temperature: boolean | null;
  }

  interface ModelList {
    models: Model[];
    onlyListed: boolean;
  }
}
