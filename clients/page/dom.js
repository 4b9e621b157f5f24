// Elements without markup strings: whatever comes from outside is text, never HTML (the policy of the page forbids it).

const SVG = "http://www.w3.org/2000/svg";

// Properties as on the element; `data`, `aria`, `attrs` and `on` hold dataset, aria-*, other attributes and listeners.
export function make(tag, { data, aria, attrs, on, ...props } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  for (const [name, value] of Object.entries(attrs ?? {})) element.setAttribute(name, value);
  for (const [name, listener] of Object.entries(on ?? {})) element.addEventListener(name, listener);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// One of the drawings at the top of index.html; it says nothing to a screen reader.
export function icon(name) {
  return draw("svg", { class: "icon", "aria-hidden": "true" }, draw("use", { href: `#i-${name}` }));
}

export function byId(id) {
  return document.getElementById(id);
}

// Replaces the children only when `key` differs from the last time, and keeps the focus on what had it (by data-key).
export function refill(parent, key, children) {
  if (parent.dataset.filled === key) return;
  parent.dataset.filled = key;
  const focused = parent.contains(document.activeElement) ? document.activeElement.closest("[data-key]")?.dataset.key : null;
  parent.replaceChildren(...children());
  if (focused) parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

// Calls `work` again `milliseconds` after it came to its end, for ever; not while the page is hidden.
export function every(milliseconds, work) {
  const beat = async () => {
    if (!document.hidden) await work();
    setTimeout(beat, milliseconds);
  };
  beat();
  document.addEventListener("visibilitychange", () => { if (!document.hidden) work(); });
}

// Calls `work` once nothing has been asked for `milliseconds`.
export function settled(milliseconds, work) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), milliseconds);
  };
}
