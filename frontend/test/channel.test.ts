/** One subscription for all who look: in whatever order they come, go, and Home Assistant answers. */

import { expect, test, vi } from "vitest";
import type { Connection } from "../src/data/hass";
import { Live, type Message } from "../src/data/live";
import { looker, settle, stopTime } from "./looker";

stopTime();

/** Longer than a part stays subscribed that nobody looks at. */
const LINGER_MS = 3_000;
const LONG_MS = 60_000;

interface Asked {
  answer(message?: Message): void;
  tell(message: Message): void;
  refuse(): void;
}

/** A connection whose answers the test gives, when it wants to. */
function wire() {
  const asked: Asked[] = [];
  const ready: (() => void)[] = [];
  const ended = vi.fn();
  const connection: Connection = {
    subscribeMessage<T>(told: (message: T) => void) {
      return new Promise<() => void>((resolve, reject) => {
        asked.push({
          answer(message = { rows: {} }) {
            resolve(ended);
            told(message as T);
          },
          tell: (message) => told(message as T),
          refuse: () => reject({ code: "unknown_command", message: "Not yet" }),
        });
      });
    },
    // As Home Assistant's own: whoever is added twice is told twice.
    addEventListener: (_name, listener) => void ready.push(listener),
    removeEventListener(_name, listener) {
      const at = ready.indexOf(listener);
      if (at >= 0) ready.splice(at, 1);
    },
  };
  return { asked, ready, ended, connection };
}

function page(connection: Connection): Live<"link"> {
  return new Live(looker({ connection }), "link", { everywhere: true });
}

test("whoever looks later does not keep a part from being asked for again", async () => {
  const { asked, connection } = wire();
  const panel = page(connection);
  panel.hostConnected();
  asked[0]?.refuse();
  await settle();
  page(connection).hostConnected();
  await vi.advanceTimersByTimeAsync(LONG_MS);
  expect(asked).toHaveLength(2);
  asked[1]?.answer();
  expect([panel.loaded, panel.failure]).toEqual([true, null]);
});

test("a part that nobody looks at is not asked for again", async () => {
  const { asked, ready, connection } = wire();
  const panel = page(connection);
  panel.hostConnected();
  panel.hostDisconnected();
  await vi.advanceTimersByTimeAsync(LINGER_MS - 100);
  asked[0]?.refuse();
  await vi.advanceTimersByTimeAsync(LONG_MS);
  expect([asked.length, ready.length]).toEqual([1, 0]);
});

test("whoever looks again before the first answer leaves nothing behind", async () => {
  const { asked, ready, ended, connection } = wire();
  const panel = page(connection);
  panel.hostConnected();
  panel.hostDisconnected();
  panel.hostConnected();
  for (const one of asked) one.answer();
  await settle();
  expect(panel.loaded).toBe(true);
  panel.hostDisconnected();
  await vi.advanceTimersByTimeAsync(LINGER_MS);
  expect(ready).toEqual([]);
  expect(ended).toHaveBeenCalledTimes(asked.length);
});

test("an answer that comes when nobody looks any more is ended", async () => {
  const { asked, ended, connection } = wire();
  const panel = page(connection);
  panel.hostConnected();
  panel.hostDisconnected();
  await vi.advanceTimersByTimeAsync(LINGER_MS);
  asked[0]?.answer();
  await settle();
  expect(ended).toHaveBeenCalledTimes(1);
});

test("what Home Assistant's frontend ends by a number of a socket that is gone goes on", async () => {
  const { asked, ended, connection } = wire();
  const panel = page(connection);
  panel.hostConnected();
  asked[0]?.answer({ rows: { one: 1 } });
  await settle();
  asked[0]?.tell({ ended: true });
  expect(panel.all).toEqual([1]); // until the new subscription answers
  asked[1]?.answer({ rows: { one: 2 } });
  await settle();
  expect(panel.all).toEqual([2]);
  expect([asked.length, ended.mock.calls.length]).toEqual([2, 0]);
});

test("what this page ends itself is not asked for again", async () => {
  const { asked, ended, connection } = wire();
  const panel = page(connection);
  panel.hostConnected();
  asked[0]?.answer();
  await settle();
  panel.hostDisconnected();
  await vi.advanceTimersByTimeAsync(LINGER_MS);
  asked[0]?.tell({ ended: true });
  await vi.advanceTimersByTimeAsync(LONG_MS);
  expect([asked.length, ended.mock.calls.length]).toEqual([1, 1]);
});
