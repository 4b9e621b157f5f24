// Corners of a zone as [x, y] in 0…1 from the picture's top left; a box has four, clockwise from its top left.

const LEAST = 0.08; // of a box's side: the server refuses a zone that is next to nothing

export const rounded = (share) => Math.round(share * 100) / 100;

// A box whose corner `number` was taken to a point; the corner across stays.
export function resized(corners, number, [x, y]) {
  const [[left, top], , [right, bottom]] = corners;
  const west = number === 0 || number === 3;
  const north = number < 2;
  const [l, r] = west ? [Math.min(x, right - LEAST), right] : [left, Math.max(x, left + LEAST)];
  const [t, b] = north ? [Math.min(y, bottom - LEAST), bottom] : [top, Math.max(y, top + LEAST)];
  return [[l, t], [r, t], [r, b], [l, b]].map((corner) => corner.map((share) => Math.min(1, Math.max(0, share))));
}

// All corners by the same way, as far as the picture goes.
export function moved(corners, way) {
  const within = way.map((share, axis) => {
    const along = corners.map((corner) => corner[axis]);
    return Math.min(1 - Math.max(...along), Math.max(-Math.min(...along), share));
  });
  return corners.map(([x, y]) => [x + within[0], y + within[1]]);
}

// Whether a point lies among them (even-odd rule, as the server has it).
export function inside(corners, [x, y]) {
  return corners.filter(([x1, y1], at) => {
    const [x2, y2] = corners[(at + 1) % corners.length];
    return (y1 > y) !== (y2 > y) && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1;
  }).length % 2 === 1;
}

// Where a picture that is wholly shown lies in a box, in pixels; all of the box while it has no size yet.
export function pictureIn(box, picture) {
  const { clientWidth, clientHeight } = box;
  const wide = picture?.videoWidth || picture?.naturalWidth || clientWidth;
  const high = picture?.videoHeight || picture?.naturalHeight || clientHeight;
  const scale = Math.min(clientWidth / wide, clientHeight / high);
  const [width, height] = [wide * scale, high * scale];
  return { left: (clientWidth - width) / 2, top: (clientHeight - height) / 2, width, height };
}
