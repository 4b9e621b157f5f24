// Times in words. Files count seconds from 0, live cameras in UTC epoch seconds: one clock, two ways to write it.

const EPOCH = 1e8; // seconds: no film is three years long

export const isEpoch = (seconds) => seconds > EPOCH;

const padded = (number) => String(number).padStart(2, "0");

// 14:03:22, with the day where it is not today's (unless `short`); 1:05 in a file.
export function clock(seconds, short = false) {
  if (isEpoch(seconds)) {
    const date = new Date(seconds * 1000);
    const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
    if (short || date.toDateString() === new Date().toDateString()) return time;
    return `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
  }
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${padded(m)}:${padded(s)}` : `${m}:${padded(s)}`;
}

// 14:03, or the day where marks are days apart; 1:05 in a file.
export function mark(seconds, step) {
  if (!isEpoch(seconds) || step < 60) return clock(seconds, true);
  const date = new Date(seconds * 1000);
  if (step >= 86400) return date.toLocaleDateString([], { day: "numeric", month: "short" });
  return `${padded(date.getHours())}:${padded(date.getMinutes())}`;
}

// 40 s, 12 min, 3.5 h, 2.1 days.
export function lasting(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${trimmed(seconds / 3600)} h`;
  return `${trimmed(seconds / 86400)} days`;
}

function trimmed(number) {
  return number.toFixed(1).replace(/\.0$/, "");
}

// Every way in which an answer may have written a time; the words of the server may be in another time zone.
export function spellings(seconds) {
  const long = clock(seconds, true);
  return isEpoch(seconds) ? [long, long.slice(0, 5)] : [long];
}
