// Writes times, counts and log lines as people read them.

const COUNT = new Intl.NumberFormat("en-US");
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const ZONE = new Intl.DateTimeFormat("en-GB", { timeZoneName: "shortOffset" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export const count = (number) => COUNT.format(number);

/** Returns a count with its noun. */
export const several = (number, noun, nouns = `${noun}s`) => `${count(number)} ${number === 1 ? noun : nouns}`;

export const millis = (time) => (time ? Date.parse(time) : NaN);

let skew = 0; // milliseconds by which the daemon's clock is ahead of this computer's
const LEAST_SKEW = 5_000; // `Date` has whole seconds, and was on its way

/** Sets the clock by the header `Date` of an answer: ages are right on a computer whose clock is not. */
export function setClock(date) {
  const found = Date.parse(date ?? "") - Date.now();
  if (!Number.isNaN(found)) skew = Math.abs(found) < LEAST_SKEW ? 0 : found;
}

/** Returns the time by the daemon's clock. */
export const now = () => Date.now() + skew;

/** Returns how long ago a time was: `now`, `12 s ago`, `5 min ago`; `1 h ahead` where the clock of its writer is. */
export function ago(ms) {
  if (Number.isNaN(ms)) return "";
  const passed = now() - ms;
  if (passed < -90_000) return `${lasting(-passed)} ahead`;
  return passed < 1_500 ? "now" : `${lasting(passed)} ago`;
}

export function lasting(ms) {
  const s = Math.round(ms / 1000);
  if (s < 1) return `${Math.max(0, Math.round(ms))} ms`;
  if (s < 90) return `${s} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

/** Returns a time of day, with the day where it is not today. */
export function clock(ms, { precise = false } = {}) {
  if (Number.isNaN(ms)) return "–";
  const date = new Date(ms);
  const text = CLOCK.format(date) + (precise ? `.${String(date.getMilliseconds()).padStart(3, "0")}` : "");
  return date.toDateString() === new Date(now()).toDateString() ? text : `${DAY.format(date)} ${text}`;
}

/** Returns the zone in which times are shown, such as `UTC+2`. */
export const zone = (ms) => ZONE.formatToParts(Number.isNaN(ms) ? now() : ms).find((part) => part.type === "timeZoneName").value.replace("GMT", "UTC");

// Letters that show nothing, or change the order in which others show: a line must not look like another one.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/** Returns a log line with its invisible letters written out, such as `\x1b`. */
export function visible(text) {
  return text.replace(UNSEEN, (letter) => {
    const code = letter.codePointAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

export const KINDS = {
  new_line: ["new line", "The service has never logged such a line before."],
  failure_again: ["failure again", "A known failure came back after a long time."],
  rare_line: ["rare line", "The service has logged such a line very rarely."],
  failure_rate_up: ["failure rate up", "Failures come more often than ever before."],
  rate_up: ["rate up", "Lines come more often than ever before."],
  silence: ["silence", "The service has logged nothing for longer than ever before."],
};

export const kindName = (kind) => KINDS[kind]?.[0] ?? kind.replaceAll("_", " ");
export const kindMeaning = (kind) => KINDS[kind]?.[1] ?? "";

// A date, a time, a zone and a process at the begin of a line: in a list they hide what the line is about.
const HEAD = /^[[(]?\d{2,4}[-/.]\d\d[-/.]\d{2,4}[T ,]+\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?: ?(?:Z|UTC|GMT|[A-Z]{3,4}|[+-]\d\d:?\d\d))?[\])]?:?\s+(?:\[\d+\]:?\s+)?(?=\S)/;

/** Returns a line without the time at its begin, for lists that show the time beside it. */
export const lean = (text) => text.replace(HEAD, "");

/** Returns the headline of an incident without the name of its service, which stands beside it. */
export function headline({ service, message }) {
  const prefix = `${service}: `;
  return message.startsWith(prefix) ? message.slice(prefix.length) : message;
}

const ENDINGS = { mute: "muted", maintenance: "planned" };

/** Returns who ended an incident by feedback, and why: `expected by ann: every night`. Empty if no feedback did. */
export function ending(resolution) {
  if (!resolution) return "";
  const by = resolution.by ? ` by ${resolution.by}` : "";
  const why = resolution.reason ? `: ${resolution.reason}` : "";
  return visible(`${ENDINGS[resolution.kind] ?? resolution.kind}${by}${why}`);
}
