// Follows the incidents. Reads server-sent events by `fetch`, because `EventSource` cannot send a token.

import { askForToken, headers, refusal, tokenGiven } from "./api.js";
import { clock, now, setClock } from "./text.js";

const SILENT_MS = 40_000; // the daemon sends something every 15 s
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
const POLL_MS = 5_000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Follows for ever. `take(event, data)` gets what arrives, `report(state, sentence)` how it goes. */
export async function follow(take, report) {
  let retry = FIRST_RETRY_MS;
  let polls = false;
  let isDeclined = false; // a person was asked for the token, and gave none
  let heard = NaN; // when something arrived last
  report("connecting", "");
  for (;;) {
    try {
      await once(polls, (event, data) => {
        retry = FIRST_RETRY_MS;
        isDeclined = false;
        report(polls ? "polling" : "live", "");
        if (event) take(event, data);
        heard = now();
      });
      if (polls) {
        await pause(POLL_MS);
        polls = false; // perhaps there is a place by now
        continue;
      }
      report("connecting", ""); // a proxy may end a stream: only a second failure is news
    } catch (error) {
      if (error.code === "too_many_streams") {
        polls = true;
        continue;
      }
      if (error.status === 401) {
        if (!isDeclined && (await askForToken(error.message))) continue;
        report("refused", error.message);
        isDeclined = !(await Promise.race([tokenGiven(), pause(LAST_RETRY_MS)]));
        continue;
      }
      const shown = Number.isNaN(heard) ? "The page tries again." : `The page shows what was known at ${clock(heard)}, and tries again.`;
      report(error.status ? "refused" : "away", error.status ? error.message : `The daemon does not answer. ${shown}`);
    }
    await pause(retry * (0.8 + 0.4 * Math.random()));
    retry = Math.min(2 * retry, LAST_RETRY_MS);
  }
}

async function once(polls, take) {
  const control = new AbortController();
  let alarm = setTimeout(() => control.abort(), SILENT_MS);
  try {
    const answer = await fetch(`/api/v1/events${polls ? "?follow=false" : ""}`, {
      headers: headers(),
      signal: control.signal,
      credentials: "omit",
      cache: "no-store",
    });
    setClock(answer.headers.get("Date"));
    if (!answer.ok) throw refusal(answer.status, await answer.json().catch(() => ({})));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(alarm);
      alarm = setTimeout(() => control.abort(), SILENT_MS);
      const pieces = (rest + value).split("\n\n");
      rest = pieces.pop();
      for (const piece of pieces) deliver(piece, take);
    }
  } finally {
    clearTimeout(alarm);
    control.abort();
  }
}

function deliver(piece, take) {
  let event = "";
  let data = "";
  for (const line of piece.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  take(event, event && JSON.parse(data)); // without an event it is a sign of life
}

/** What the page knows of incidents: the newest short form of each. */
export class Incidents {
  constructor() {
    this.byId = new Map();
    this.open = 0;
    this.note = "";
    this.isKnown = false;
    this.list = [];
  }

  /** Takes an event. Returns the ids that are new. */
  take(event, data) {
    const fresh = [];
    if (event === "all") {
      const before = this.byId;
      this.byId = new Map(data.incidents.map((one) => [one.id, one]));
      if (this.isKnown) for (const id of this.byId.keys()) if (!before.has(id)) fresh.push(id);
    } else {
      for (const one of data.incidents) {
        if (!this.byId.has(one.id)) fresh.push(one.id);
        this.byId.set(one.id, one);
      }
      for (const id of data.gone) this.byId.delete(id);
    }
    this.open = data.open;
    this.note = data.note;
    this.isKnown = true;
    for (const one of this.byId.values()) one.seen ??= Math.min(Date.parse(one.last_seen ?? "") || Infinity, one.published); // a clock may be ahead
    this.list = [...this.byId.values()].sort((a, b) => b.seen - a.seen || (a.id < b.id ? -1 : 1));
    return fresh;
  }
}
