// Tabs after the ARIA pattern: one is in the tab order, the arrow keys go from one to the next.

export class Tabs {
  constructor(list, chosen = () => {}) {
    this.buttons = [...list.querySelectorAll("[role=tab]")];
    this.chosen = chosen;
    for (const button of this.buttons) button.addEventListener("click", () => this.choose(button.dataset.tab));
    list.addEventListener("keydown", (event) => this.key(event));
    this.choose(this.buttons[0].dataset.tab);
  }

  choose(name) {
    this.now = name;
    for (const button of this.buttons) {
      const on = button.dataset.tab === name;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
      document.getElementById(button.getAttribute("aria-controls")).hidden = !on;
    }
    this.chosen(name);
  }

  // Tabs that have nothing to say in this view.
  allow(names) {
    for (const button of this.buttons) button.hidden = !names.includes(button.dataset.tab);
    if (!names.includes(this.now)) this.choose(names[0]);
  }

  key(event) {
    const shown = this.buttons.filter((button) => !button.hidden);
    const at = shown.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const next = shown[(to + shown.length) % shown.length];
    this.choose(next.dataset.tab);
    next.focus();
  }
}
