import { expect, test, vi } from "vitest";
import { Fetched, Listed, type Listing } from "../src/data/fetched";
import { looker, settle, stopTime } from "./looker";

const host = () => looker({});
stopTime();

test("it is read once, and its host is drawn when it is there", async () => {
  const here = host();
  const fetched = new Fetched(here, async () => "told");
  fetched.hostUpdate();
  fetched.hostUpdate();
  await settle();
  expect([fetched.value, fetched.failure, here.drawn]).toEqual(["told", null, 1]);
});

test("nothing is read before Home Assistant is there, or as long as nothing can be", async () => {
  const read = vi.fn(async () => "told");
  const ready = { about: null as string | null };
  const early = new Fetched(looker(undefined), read);
  const waiting = new Fetched(host(), read, () => ready.about);
  early.hostUpdate();
  waiting.hostUpdate();
  await settle();
  expect(read).not.toHaveBeenCalled();
  ready.about = "now";
  waiting.hostUpdate();
  await settle();
  expect(waiting.value).toBe("told");
  for (const about of [null, "now"]) {
    ready.about = about;
    waiting.hostUpdate();
  }
  await settle();
  expect(read).toHaveBeenCalledTimes(2);
});

test("it is read anew for another brain at once, and for another key after a while", async () => {
  const here = host();
  const read = vi.fn(async () => "told");
  const now = { about: "a" };
  const fetched = new Fetched(here, read, () => now.about, 300);
  fetched.hostUpdate();
  now.about = "b";
  fetched.hostUpdate();
  await vi.advanceTimersByTimeAsync(200);
  now.about = "c";
  fetched.hostUpdate();
  await vi.advanceTimersByTimeAsync(299);
  expect(read).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(read).toHaveBeenCalledTimes(2);
  here.entryId = "other";
  fetched.hostUpdate();
  await settle();
  expect(read).toHaveBeenCalledTimes(3);
});

test("of two answers the one that was asked for last counts, whichever comes first", async () => {
  const answers: ((value: string) => void)[] = [];
  const fetched = new Fetched(host(), () => new Promise<string>((told) => answers.push(told)));
  void fetched.again();
  void fetched.again();
  answers[1]?.("new");
  await settle();
  answers[0]?.("old");
  await settle();
  expect(fetched.value).toBe("new");
});

test("a refusal is kept in words, and what was read stays", async () => {
  const answers = [() => Promise.resolve("told"), () => Promise.reject({ code: "no", message: "No" })];
  const fetched = new Fetched(host(), () => answers.shift()?.() ?? Promise.resolve("more"));
  await fetched.again();
  await fetched.again();
  expect([fetched.value, fetched.failure]).toEqual(["told", { code: "no", message: "No" }]);
  await fetched.again();
  expect([fetched.value, fetched.failure]).toEqual(["more", null]);
});

test("what comes after somebody has left is forgotten, and read anew when they are back", async () => {
  const read = vi.fn(async () => "told");
  const fetched = new Fetched(host(), read);
  fetched.hostUpdate();
  fetched.hostDisconnected();
  await settle();
  expect(fetched.value).toBeUndefined();
  fetched.hostUpdate();
  await settle();
  expect(fetched.value).toBe("told");
});

test("a list goes on where it ended, and not after it was read anew", async () => {
  const parts: Record<string, Listing<number>> = {
    first: { items: [1, 2], cursor: "next" },
    next: { items: [3], cursor: null },
  };
  const listed = new Listed<number>(host(), async (cursor) => parts[cursor ?? "first"] as Listing<number>);
  expect([listed.items, listed.cursor]).toEqual([undefined, null]);
  await listed.more();
  await listed.again();
  await listed.more();
  expect([listed.items, listed.cursor]).toEqual([[1, 2, 3], null]);
  await listed.more();
  await listed.again();
  const more = listed.more();
  await listed.again();
  await more;
  expect(listed.items).toEqual([1, 2]);
});

test("what is due when nothing can be read any more is not read", async () => {
  const read = vi.fn(async () => "told");
  const now = { about: "a" as string | null };
  const fetched = new Fetched(host(), read, () => now.about, 300);
  for (const about of ["a", "b", null]) {
    now.about = about;
    fetched.hostUpdate();
  }
  await vi.advanceTimersByTimeAsync(1000);
  expect(read).toHaveBeenCalledTimes(1);
});

test("what one brain has told is not shown as what another tells", async () => {
  const here = host();
  const answers = [() => Promise.resolve("told"), () => Promise.reject({ code: "no", message: "No" })];
  const fetched = new Fetched(here, () => answers.shift()?.() ?? Promise.resolve("more"));
  fetched.hostUpdate();
  await settle();
  here.entryId = "other";
  fetched.hostUpdate();
  expect(fetched.value).toBeUndefined();
  await settle();
  expect([fetched.value, fetched.failure?.code]).toEqual([undefined, "no"]);
});

test("what cannot be told now is asked for again until it can, and a refusal is not", async () => {
  const answers = ["database_busy", "3", "no_picture_of_file"];
  const read = vi.fn(() => Promise.reject({ code: answers.shift(), message: "No" }));
  const fetched = new Fetched(host(), read);
  fetched.hostUpdate();
  await vi.advanceTimersByTimeAsync(10_000);
  expect([read.mock.calls.length, fetched.failure?.code]).toEqual([2, "3"]);
  await vi.advanceTimersByTimeAsync(19_999);
  expect(read).toHaveBeenCalledTimes(2);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([read.mock.calls.length, fetched.failure?.code]).toEqual([3, "no_picture_of_file"]);
});

test("what cannot be told now is asked for once, however often somebody wants it, and not when nobody looks", async () => {
  const read = vi.fn(() => Promise.reject({ code: "brain_unavailable", message: "Away" }));
  const now = { about: "a" as string | null };
  const fetched = new Fetched(host(), read, () => now.about);
  fetched.hostUpdate();
  await settle();
  await fetched.again();
  await vi.advanceTimersByTimeAsync(20_000);
  expect(read).toHaveBeenCalledTimes(3);
  now.about = null;
  fetched.hostUpdate();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(read).toHaveBeenCalledTimes(3);
  now.about = "a";
  fetched.hostUpdate();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(read).toHaveBeenCalledTimes(5);
});

test("where it cannot be told for long it is asked for more and more rarely, and at once when it was told", async () => {
  let away = true;
  const read = vi.fn(() => (away ? Promise.reject({ code: "internal", message: "No" }) : Promise.resolve("told")));
  const fetched = new Fetched(host(), read);
  fetched.hostUpdate();
  await vi.advanceTimersByTimeAsync(10_000 + 20_000 + 40_000 + 80_000 + 80_000);
  expect(read).toHaveBeenCalledTimes(6);
  away = false;
  await vi.advanceTimersByTimeAsync(80_000);
  expect(fetched.value).toBe("told");
  away = true;
  await fetched.again();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(read).toHaveBeenCalledTimes(9);
});
