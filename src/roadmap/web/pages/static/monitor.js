// The monitor's only script: live pieces, dialogs, the theme. Every page works without it.
"use strict";

const THEMES = ["system", "light", "dark"];
const RETRY_FIRST = 1000, RETRY_MOST = 15000;

// The theme goes first, before anything is painted.
const theme = {
  get current() {
    try { return localStorage.getItem("theme") || "system"; } catch { return "system"; }
  },
  apply() {
    if (this.current === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.current;
  },
  turn() {
    try { localStorage.setItem("theme", THEMES[(THEMES.indexOf(this.current) + 1) % THEMES.length]); } catch { return; }
    this.apply();
  },
};
theme.apply();

// --- Replacing a piece of the page, and nothing that a person holds: focus, open details, a selected text.

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || key(old) !== key(fresh)) {
    old.replaceWith(fresh);
  } else if (old.nodeType === Node.ELEMENT_NODE) {
    morphAttributes(old, fresh);
    morphChildren(old, fresh);
  } else if (old.nodeValue !== fresh.nodeValue) {
    old.nodeValue = fresh.nodeValue;
  }
}

function key(part) {
  return part.nodeType === Node.ELEMENT_NODE ? part.id || part.dataset?.key || null : null;
}

function morphAttributes(old, fresh) {
  const held = old === document.activeElement;
  const ours = (name) => name === "open" || (held && (name === "value" || name === "tabindex"));
  for (const { name, value } of fresh.attributes)
    if (!ours(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes])
    if (!ours(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
}

// What stays is not moved where that can be helped: whoever is moved loses the focus.
function morphChildren(old, fresh) {
  const wanted = new Set([...fresh.children].map(key));
  for (const child of [...old.children]) if (key(child) && !wanted.has(key(child))) child.remove();
  const kept = new Map([...old.children].filter(key).map((child) => [key(child), child]));
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = kept.get(key(child));
    if (same) {
      while (place && place !== same && place.nodeType === Node.TEXT_NODE) place = removed(place);
      if (same === place) place = place.nextSibling;
      else old.insertBefore(same, place);
      morph(same, child);
      kept.delete(key(child));
    } else if (place && !key(place) && !key(child)) {
      const next = place.nextSibling;
      morph(place, child);
      place = next;
    } else {
      if (key(child)) child.classList.add("fresh");
      old.insertBefore(child, place);
    }
  }
  while (place) place = removed(place);
}

function removed(part) {
  const next = part.nextSibling;
  part.remove();
  return next;
}

const waiting = new Map();

function put(id, html) {
  waiting.delete(id);
  const old = document.getElementById(id);
  if (!old) return;
  if (isSelected(old)) {
    waiting.set(id, html);
    return;
  }
  const held = old.contains(document.activeElement) ? document.activeElement : null;
  const fresh = parse(html).firstElementChild;
  if (fresh) morph(old, fresh);
  if (held) focusAgain(held, id);
}

// What was focused may have been moved; where it is gone, its place is where one goes on.
function focusAgain(held, place) {
  if (!held?.isConnected) focusOn(document.getElementById(place));
  else if (held !== document.activeElement) held.focus({ preventScroll: true });
}

function focusOn(part) {
  if (!part) return;
  part.tabIndex = -1;
  part.focus({ preventScroll: true });
}

function isSelected(part) {
  const selection = getSelection();
  return selection && !selection.isCollapsed && selection.rangeCount > 0 && selection.getRangeAt(0).intersectsNode(part);
}

document.addEventListener("selectionchange", () => {
  for (const [id, html] of [...waiting])
    if (!isSelected(document.getElementById(id) || document.head)) put(id, html);
});

// --- Live: one stream for the page, closed while nobody sees it.

const live = {
  source: null,
  pause: RETRY_FIRST,
  timer: 0,

  get url() { return document.getElementById("page")?.dataset.live; },

  open() {
    this.close();
    if (!this.url || document.hidden) return;
    this.source = new EventSource(this.url);
    this.source.onopen = () => { this.pause = RETRY_FIRST; };
    this.source.onerror = () => this.again();
    this.on("piece", ({ id, html }) => put(id, html));
    this.on("state", ({ state, text }) => tell(state, text));
    this.on("title", ({ text }) => { document.title = text; });
    this.on("reload", () => location.reload());
    this.on("bye", () => this.again());
  },
  on(name, act) {
    this.source.addEventListener(name, (event) => act(JSON.parse(event.data)));
  },
  again() {
    this.close();
    tell("lost", "Reconnecting …");
    this.timer = setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(this.pause * 2, RETRY_MOST);
    this.leaveIfSignedOut();
  },
  // An EventSource does not tell why it failed: asked without a stream, who is not signed in any more is sent elsewhere.
  async leaveIfSignedOut() {
    try {
      const answer = await fetch(this.url, { method: "HEAD", redirect: "manual", signal: AbortSignal.timeout(RETRY_MOST) });
      if (answer.type === "opaqueredirect") location.reload();
    } catch { /* no connection: it is tried again */ }
  },
  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  },
};

function tell(state, text) {
  const pulse = document.getElementById("pulse");
  if (!pulse || (pulse.dataset.state === state && pulse.title === text)) return;
  pulse.dataset.state = state;
  pulse.title = text;
  pulse.querySelector(".word").textContent = text;
}

// --- Actions: asked about first where they say so, sent in the background, and answered in place.

// What is meant is read when the button is pressed: a piece may be replaced while the question is open.
function read(form, button) {
  const fields = new URLSearchParams(new FormData(form));
  if (button.name) fields.append(button.name, button.value);
  return { path: button.getAttribute("formaction") || form.action, fields };
}

async function send({ path, fields }, button) {
  button.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(path, { method: "POST", body: fields, headers: { Accept: "text/html" } });
    showAnswer(new DOMParser().parseFromString(await answer.text(), "text/html"), answer);
  } catch {
    showFault("Not sent", "No answer came. Press again when the page is live: doing it twice changes nothing.");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

function showAnswer(fresh, answer) {
  const page = fresh.getElementById("page");
  if (!page) {
    showFault(fresh.querySelector("h1")?.textContent || "Not done", fresh.querySelector("h1 + p")?.textContent || "");
    return;
  }
  const held = document.activeElement;
  waiting.clear();
  morph(document.getElementById("page"), document.importNode(page, true));
  document.title = fresh.title;
  history.replaceState(null, "", answer.redirected ? withoutNotice(answer.url) : location.href);
  focusAgain(held, "notices");
  live.open();
}

function showFault(head, text) {
  const notice = parse('<div class="notice bad"><div><p></p><p></p></div></div>').firstElementChild;
  const [first, second] = notice.querySelectorAll("p");
  first.textContent = head;
  second.textContent = text;
  document.getElementById("notices").replaceChildren(notice);
}

function withoutNotice(url) {
  const clean = new URL(url);
  for (const name of ["said", "done", "left", "more"]) clean.searchParams.delete(name);
  return clean;
}

function ask(wanted, button) {
  const dialog = document.getElementById("ask");
  dialog.querySelector("h2").textContent = button.dataset.confirm;
  dialog.querySelector("p").textContent = button.dataset.consequence || "";
  dialog.querySelector("button.main").textContent = button.dataset.verb || button.textContent.trim();
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (button.isConnected) button.focus();
    if (dialog.returnValue === "yes") send(wanted, button);
  };
  dialog.showModal();
}

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || !event.target.hasAttribute("data-inplace")) return;
  event.preventDefault();
  if (button.getAttribute("aria-busy") === "true") return;
  const wanted = read(event.target, button);
  if (button.dataset.confirm) ask(wanted, button);
  else send(wanted, button);
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-turn]")) {
    theme.turn();
    nameTheme();
  }
});

function nameTheme() {
  for (const button of document.querySelectorAll("[data-theme-turn]")) {
    button.hidden = false;
    button.title = `Theme: ${theme.current}`;
    button.setAttribute("aria-label", `Theme: ${theme.current}. Change it`);
  }
}

// Where the navigation is a line too long for the screen.
function showPlace() {
  const side = document.querySelector(".side"), link = side?.querySelector("[aria-current]");
  if (link) side.scrollLeft = link.offsetLeft - side.clientWidth / 3;
}

document.addEventListener("DOMContentLoaded", () => {
  nameTheme();
  showPlace();
  if (location.search) history.replaceState(null, "", withoutNotice(location.href));
  live.open();
});
document.addEventListener("visibilitychange", () => (document.hidden ? live.close() : live.open()));
addEventListener("pagehide", () => live.close());
addEventListener("pageshow", (event) => { if (event.persisted) live.open(); });
