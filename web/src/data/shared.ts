/** What all conversations of the page share. */

import type { Client } from "../../../clients/js/src/index.js";
import type { Signal } from "../signal.js";
import type { Problem } from "../turn/index.js";
import type { Api } from "./api.js";
import type { Drafts } from "./drafts.js";
import type { Homes } from "./homes.js";
import type { List } from "./list.js";
import type { Store } from "./store.js";
import type { Tabs } from "./tabs.js";

export interface Shared {
  api: Api;
  client: Client;
  /** Of the device, and of the tab. */
  store: Store;
  session: Store;
  drafts: Drafts;
  homes: Homes;
  list: List;
  tabs: Tabs;
  /** Whether the storage of conversations can be used. */
  storage: Signal<"unknown" | "there" | "away">;
  refused(problem: Problem): void;
}
