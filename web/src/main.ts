/** The chat page. */

import "./shell/shell.css";
import "./text/text.css";
import "./pane/pane.css";

import { Choices } from "./data/choices.js";
import { windowAround } from "./data/host.js";
import { Data } from "./data/index.js";
import { Store } from "./data/store.js";
import { openPane } from "./pane/pane.js";
import { byId } from "./shell/dom.js";
import { embedded } from "./shell/embedded.js";
import { follow } from "./shell/follow.js";
import { openFrame } from "./shell/frame.js";
import { Place } from "./shell/place.js";

/** The page's files are in a folder of the service. */
const base = new URL("../", import.meta.url).href;

// The address of the icon is the page's first one's neighbour, and the address changes.
for (const icon of document.querySelectorAll<HTMLLinkElement>("link[rel=icon]")) icon.href = icon.href;

const data = new Data({ base, around: windowAround() });
const place = new Place(base, { embedded });
const conversation = follow(data, place);
const choices = new Choices(new Store(() => localStorage));
const parts = { data, place, conversation, choices };
openFrame(parts, openPane(parts, byId("main", HTMLElement)));
void data.start();
