// Captions over the picture: what is being said now, or what was said at the second that is looked at.

const STAY_MS = 7000; // a caption without a successor
const LETTERS = 84; // two lines of 42, as subtitles have them

export class Subtitles {
  constructor(state, { box, button }) {
    this.state = state;
    this.box = box;
    this.said = new Map(); // camera -> { fixed, partial, at }
    this.past = null; // a function: the second -> what was said then
    this.on = true;
    button.addEventListener("click", () => {
      this.on = !this.on;
      button.setAttribute("aria-pressed", String(this.on));
      this.show();
    });
    state.on("caption", (message) => this.take(message));
    state.on("place", () => this.show());
  }

  take({ camera, type, text }) {
    const said = this.said.get(camera) ?? { fixed: "", partial: "", at: 0 };
    if (performance.now() - said.at > STAY_MS) said.fixed = "";
    if (type === "caption.final") Object.assign(said, { fixed: `${said.fixed} ${text}`.trim(), partial: "" });
    else said.partial = text;
    if (said.fixed.length + said.partial.length > LETTERS) said.fixed = ending(said.fixed, LETTERS - said.partial.length);
    said.at = performance.now();
    this.said.set(camera, said);
    if (camera !== this.state.camera) return;
    this.show();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { said.fixed = said.partial = ""; this.show(); }, STAY_MS);
  }

  show() {
    const { camera, moment } = this.state;
    const live = moment === null;
    const said = live ? this.said.get(camera) ?? { fixed: "", partial: "" } : { fixed: this.past?.(moment) ?? "", partial: "" };
    const [fixed, partial] = this.box.firstElementChild.children;
    fixed.textContent = said.fixed;
    partial.textContent = said.partial ? ` ${said.partial}` : "";
    this.box.hidden = !this.on || !(said.fixed || said.partial);
  }
}

// The last words of a text, in at most so many letters.
function ending(text, letters) {
  if (letters <= 0) return "";
  if (text.length <= letters) return text;
  const cut = text.slice(-letters);
  const blank = cut.indexOf(" ");
  return blank < 0 ? cut : cut.slice(blank + 1);
}
