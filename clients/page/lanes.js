// The timeline as a drawing: alerts, motion with its scene changes, what was said, and the hours below.

import { draw } from "/page/dom.js";
import { isEpoch, mark } from "/page/time.js";

export const HEIGHT = 112;
const ALERTS = { top: 4, height: 12 };
const MOTION = { top: 22, height: 48, alone: 66 }; // alone: where nothing is said below
const SAID = { top: 76, height: 10 };
const AXIS = 106;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800];
const MARK_PX = 84; // from one mark to the next, at least

// Draws [from, to] of a camera's past over so many pixels.
export function drawLanes(svg, past, { from, to, width, labels }) {
  const at = (seconds) => ((seconds - from) / (to - from)) * width;
  const visible = (items) => items.filter((item) => (item.end ?? Infinity) >= from && item.start <= to);
  const spans = visible(past.spans);
  const high = past.cues.length ? MOTION.height : MOTION.alone;
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.replaceChildren(
    draw("rect", { class: "lane", x: 0, y: MOTION.top, width, height: high, rx: 4 }),
    draw("path", { class: "motion", d: motion(spans, at, from, to, high) }),
    draw("path", { class: "cuts", d: cuts(spans, at, high) }),
    ...visible(past.cues).map((cue) => draw("rect", { class: "said", x: at(cue.start), y: SAID.top, width: Math.max(2, at(cue.end) - at(cue.start)), height: SAID.height, rx: 2 })),
    ...chapters(visible(past.chapters), at),
    ...visible([...past.events.values()]).map((event) => alert(event, at, to)),
    ...axis(from, to, at, width),
  );
  labels.alerts.hidden = past.events.size === 0;
  labels.said.hidden = past.cues.length === 0;
}

// Each scene as high as it moved; the root makes a little motion visible beside a lot.
function motion(spans, at, from, to, room) {
  const bottom = MOTION.top + room;
  return spans.map((span) => {
    const [left, right] = [at(Math.max(span.start, from)), at(Math.min(span.end, to))];
    const high = Math.max(2, Math.sqrt(Math.min(1, Math.max(0, span.motion))) * (room - 4));
    return `M${left.toFixed(1)} ${bottom}V${(bottom - high).toFixed(1)}H${right.toFixed(1)}V${bottom}Z`;
  }).join("");
}

function cuts(spans, at, room) {
  let [path, last] = ["", -Infinity];
  for (const span of spans.slice(1)) {
    const x = at(span.start);
    if (x - last < 3) continue; // closer ones would be a wall
    path += `M${x.toFixed(1)} ${MOTION.top}V${MOTION.top + room}`;
    last = x;
  }
  return path;
}

function alert(event, at, to) {
  const left = at(event.start);
  const wide = Math.max(6, at(event.end ?? to) - left);
  const kind = event.verified === false ? "alert withdrawn" : event.end === null ? "alert open" : "alert";
  return draw("rect", { class: kind, x: left, y: ALERTS.top, width: wide, height: ALERTS.height, rx: 3 });
}

function chapters(list, at) {
  return list.map((chapter) => draw("path", { class: "chapter", d: `M${at(chapter.start).toFixed(1)} ${SAID.top - 3}V${SAID.top + SAID.height + 3}` }));
}

function axis(from, to, at, width) {
  const step = STEPS.find((seconds) => (seconds / (to - from)) * width >= MARK_PX) ?? 604800;
  const shift = isEpoch(from) ? new Date(from * 1000).getTimezoneOffset() * 60 : 0; // marks on whole local hours
  const marks = [];
  for (let second = Math.ceil((from - shift) / step) * step + shift; second <= to; second += step) {
    const x = at(second);
    if (x < 26 || x > width - 26) continue; // its word would be cut off
    marks.push(draw("path", { class: "tick", d: `M${x.toFixed(1)} ${SAID.top + SAID.height + 6}v4` }));
    const word = draw("text", { class: "mark", x: x.toFixed(1), y: AXIS });
    word.textContent = mark(second, step);
    marks.push(word);
  }
  return marks;
}
