// People in voice conferences.

import { SOON_MS } from "./peer.mjs";

/** Joins a conference from a page of `joinPage`: `talk` is a global of the page then. */
export function enter(page, service, name, nick, options = {}) {
  return page.evaluate(
    async ([service, name, nick, options]) => {
      const { Conference } = await import("/app/voice/conference.js");
      window.talk = await Conference.join(peer, service, name, nick, options);
    },
    [service, name, nick, options],
  );
}

/** Waits until `page` has received `count` frames of each of `nicks`, and then as many more. */
export async function hears(page, nicks, count, ms = SOON_MS) {
  await page.evaluate(
    ([nicks, count, ms]) => {
      const received = (nick) => talk.state.people.find((person) => person.nick === nick)?.figures.received ?? 0;
      const goals = nicks.map((nick) => received(nick) + count);
      return until(() => nicks.every((nick, n) => received(nick) >= goals[n]), ms, `${count} frames of ${nicks}`);
    },
    [nicks, count, ms],
  );
}

/** What a page has heard of each of the others, by nick name. */
export function heard(page) {
  return page.evaluate(() => Object.fromEntries(talk.state.people.filter((each) => !each.me).map((each) => [each.nick, each.figures])));
}
