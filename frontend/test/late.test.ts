/** Answers that come late, for something else, or never: what is shown is what was asked for last. */

import { type ReactiveController, ReactiveElement } from "lit";
import { expect, test, vi } from "vitest";
import { Fetched } from "../src/data/fetched";
import type { Hass } from "../src/data/hass";
import { ask } from "../src/mind/ask";
import { KittyGoals } from "../src/mind/goals";
import { KittyMemory } from "../src/mind/memory";
import { KittyOutcomes } from "../src/mind/outcomes";
import { KittyProjects } from "../src/mind/projects";
import { KittyResearch } from "../src/mind/research-view";
import { KittyPageAudit } from "../src/pages/audit";
import { KittyPageConversations } from "../src/pages/conversations";
import { KittyPageMaterials } from "../src/pages/materials";
import { KittyPrintHistory } from "../src/pages/shop/history";
import { KittyDecision } from "../src/ui/decision";
import { settle, stopTime } from "./looker";

stopTime();

interface Question {
  service: string;
  data: Record<string, unknown>;
  answer(response: unknown): Promise<unknown>;
}

/** Home Assistant whose answers the test gives, when it wants to. */
function home(): { hass: Hass; questions: Question[] } {
  const questions: Question[] = [];
  const callWS = ({ service, service_data }: Record<string, unknown>) =>
    new Promise((resolve) => {
      const answer = (response: unknown) => {
        resolve({ response });
        return settle();
      };
      questions.push({ service: String(service), data: service_data as Question["data"], answer });
    });
  return { hass: { language: "en", callWS } as unknown as Hass, questions };
}

/** Returns what an element keeps to itself. */
const kept = (element: object, name: string) => Reflect.get(element, name);

/** Has an element do what nobody else can tell it to. */
const run = (element: object, name: string, ...given: unknown[]) => kept(element, name).apply(element, given);

test("of two prints that are looked at the second has its own figures", async () => {
  const { hass, questions } = home();
  const history = Object.assign(new KittyPrintHistory(), { hass });
  for (const id of ["a", "b"]) run(history, "look_at", { id, file: id });
  await questions[0]?.answer("of a");
  await questions[1]?.answer("of b");
  await questions[2]?.answer("costs");
  expect(questions.map(({ service, data }) => [service, data.job_id])).toEqual([
    ["get_job", "a"],
    ["get_job", "b"],
    ["get_costs", "b"],
  ]);
  expect([kept(history, "told"), kept(history, "costs")]).toEqual(["of b", "costs"]);
});

test("what is remembered is shown as it was read last", async () => {
  const { hass, questions } = home();
  const memory = Object.assign(new KittyMemory(), { hass });
  run(memory, "read");
  memory.entryId = "other";
  run(memory, "read");
  await questions[1]?.answer({ items: ["other"], cursor: null, status: {} });
  await questions[0]?.answer({ items: ["first"], cursor: null, status: {} });
  expect(kept(memory, "items")).toEqual(["other"]);
});

/** Has an element look at what it has to read, as before it is drawn. */
function look(element: object): void {
  for (const one of Object.values(element) as ReactiveController[]) if (one instanceof Fetched) one.hostUpdate();
}

test("outcomes are those of the brain that is looked at, whichever answers last", async () => {
  const { hass, questions } = home();
  const outcomes = Object.assign(new KittyOutcomes(), { hass });
  look(outcomes);
  outcomes.entryId = "other";
  look(outcomes);
  await questions[1]?.answer({ items: ["other"] });
  await questions[0]?.answer({ items: ["first"] });
  expect(kept(kept(outcomes, "outcomes"), "value")).toEqual(["other"]);
});

test.each([
  ["goals", () => new KittyGoals(), "readPast", "past", { items: ["old"] }],
  ["projects", () => new KittyProjects(), "readPast", "past", { items: ["old"] }],
  ["a verified chain", () => new KittyPageAudit(), "verify", "verdict", { ok: true }],
  ["spools that were put away", () => new KittyPageMaterials(), "lookAway", "archived", { spools: ["old"] }],
])("%s of one brain are not shown as another's, however late they come", async (_what, made, read, name, answer) => {
  const { hass, questions } = home();
  const element = Object.assign(made(), { hass });
  const before = kept(element, name);
  run(element, read);
  element.entryId = "other";
  await questions[0]?.answer(answer);
  expect(kept(element, name)).toBe(before);
});

test("spools that were put away are looked at anew with another brain", async () => {
  const { hass, questions } = home();
  const page = new KittyPageMaterials();
  Object.assign(page, { hass, archived: ["old"], looksAway: true, entryId: "other" });
  run(page, "willUpdate", new Map([["entryId", "first"]]));
  await questions[0]?.answer({ spools: ["its own"] });
  expect(kept(page, "archived")).toEqual(["its own"]);
});

test.each([
  ["conversations", () => new KittyPageConversations(), "talks"],
  ["memories", () => new KittyMemory(), "items"],
])("more %s that come after all was read anew are not put below", async (_what, made, name) => {
  const { hass, questions } = home();
  const element = Object.assign(made(), { hass });
  run(element, "readMore");
  run(element, "read");
  await questions[1]?.answer({ items: [{ id: "new" }], cursor: null, status: {} });
  await questions[0]?.answer({ items: [{ id: "old" }], cursor: null });
  expect(kept(element, name)).toEqual([{ id: "new" }]);
});

test("a research that is over is shown with its report, although it was read before and that came last", async () => {
  const { hass, questions } = home();
  const research = Object.assign(new KittyResearch(), { hass, researchId: "r" });
  look(research);
  research.live = { id: "r", status: "running" } as typeof research.live;
  look(research);
  research.live = undefined;
  look(research);
  await questions[1]?.answer({ id: "r", status: "completed" });
  await questions[0]?.answer({ id: "r", status: "running" });
  expect(kept(research, "research").status).toBe("completed");
});

test("the report of a research that could not be read is read when Home Assistant is back", async () => {
  const { hass, questions } = home();
  const refused = { ...hass, callWS: () => Promise.reject({ code: "lost", message: "Lost" }) } as Hass;
  const live = { id: "r", status: "completed" };
  const research = Object.assign(new KittyResearch(), { hass: refused, researchId: "r", live });
  look(research);
  await settle();
  research.hass = hass;
  run(research, "back");
  await questions[0]?.answer({ id: "r", report: "Found" });
  expect(kept(research, "whole")).toEqual({ id: "r", report: "Found" });
});

test("who thinks better of a question before it is asked asks nothing, and waits for nothing", async () => {
  const subscribeMessage = vi.fn(async () => () => {});
  const pipelines = [{ id: "p", conversation_engine: "conversation.k" }];
  let answer = (_found: unknown) => {};
  const hass = {
    connection: { subscribeMessage, addEventListener() {}, removeEventListener() {} },
    entities: { k: { entity_id: "conversation.k", platform: "kitty" } },
    callWS: () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  } as unknown as Hass;
  const stop = new AbortController();
  const over = vi.fn();
  const question = { text: "Hello", conversationId: "c", entryId: undefined };
  void ask(hass, question, { words() {}, tool() {} }, stop.signal).then(over);
  stop.abort();
  answer({ pipelines });
  await settle();
  expect([over.mock.calls.length, subscribeMessage.mock.calls.length]).toEqual([1, 0]);
});

test("what could not be read of a Home Assistant that is starting is read when it knows KITTY", async () => {
  const { hass, questions } = home();
  const outcomes = Object.assign(new KittyOutcomes(), { hass });
  const links = kept(outcomes, "links");
  look(outcomes);
  await questions[0]?.answer({ items: [] });
  // As a subscription that is refused, and then is not.
  for (const failure of [{ code: "unknown_command" }, null]) {
    Object.defineProperty(links, "failure", { configurable: true, get: () => failure });
    look(outcomes);
  }
  await questions[1]?.answer({ items: ["of now"] });
  expect(kept(kept(outcomes, "outcomes"), "value")).toEqual(["of now"]);
});

test.each([
  ["conversations", () => new KittyPageConversations(), "talks"],
  ["memories", () => new KittyMemory(), "items"],
])("%s that could not be read are read when the brain or Home Assistant is back", async (_what, made, name) => {
  const { hass, questions } = home();
  const element = Object.assign(made(), { hass });
  const draw = () => {
    run(element, "willUpdate", new Map());
    return settle();
  };
  const link = { entry_id: "e", connected: false, loaded: true, trouble: null };
  Object.defineProperty(kept(element, "links"), "all", { get: () => [link] });
  await draw();
  expect(questions).toEqual([]);
  link.connected = true;
  await draw();
  await draw();
  await questions[0]?.answer({ items: ["old"], cursor: null, status: {} });
  run(element, "back");
  await draw();
  await questions[1]?.answer({ items: ["new"], cursor: null, status: {} });
  expect([questions.length, kept(element, name)]).toEqual([2, ["new"]]);
});

test("who looks at something else when an answer is over is left there, and sees it as it is", async () => {
  const { hass, questions } = home();
  const pushState = vi.fn();
  vi.stubGlobal("history", { pushState });
  const page = new KittyPageConversations();
  Object.defineProperty(page, "isConnected", { value: true });
  Object.assign(page, { hass: { ...hass, entities: {} }, rest: "new" });
  run(page, "say", "Hello", { value: "" });
  await settle();
  page.rest = "other";
  run(page, "read");
  await questions[1]?.answer({ items: [{ id: "other" }], cursor: null });
  await questions[2]?.answer({ conversation: { id: "other" }, items: [] });
  expect(kept(page, "thread").conversation.id).toBe("other");
  await questions[0]?.answer({ text: "Hello" });
  expect(questions.map(({ service }) => service).at(-1)).toBe("get_conversations");
  expect(pushState).not.toHaveBeenCalled();
  vi.unstubAllGlobals();
});

test("a question goes into the conversation that is looked at before what was said there has come", async () => {
  const { hass, questions } = home();
  const page = new KittyPageConversations();
  Object.assign(page, { hass: { ...hass, entities: {} }, rest: "t" });
  run(page, "read");
  await questions[0]?.answer({ items: [{ id: "t" }], cursor: null });
  run(page, "say", "Hello", { value: "" });
  await settle();
  expect(questions.map(({ service, data }) => [service, data.conversation_id])).toEqual([
    ["get_conversations", undefined],
    ["get_conversations", "t"],
    ["ask", "t"],
  ]);
});

test("what was said earlier is not put below what was read anew", async () => {
  const { hass, questions } = home();
  const page = Object.assign(new KittyPageConversations(), { hass });
  const thread = { conversation: { id: "t" }, items: ["2"], cursor: "1" };
  Object.assign(page, { thread });
  run(page, "readEarlier", thread);
  Object.assign(page, { thread: { ...thread, items: ["3"], cursor: "2" } });
  await questions[0]?.answer({ items: ["1"], cursor: null });
  expect(kept(page, "thread").items).toEqual(["3"]);
});

test("conversations are shown as they were read last", async () => {
  const { hass, questions } = home();
  const page = Object.assign(new KittyPageConversations(), { hass });
  run(page, "read");
  page.entryId = "other";
  run(page, "read");
  await questions[1]?.answer({ items: [{ id: "other" }], cursor: null });
  await questions[0]?.answer({ items: [{ id: "first" }], cursor: null });
  expect(kept(page, "talks")).toEqual([{ id: "other" }]);
});

test("an answer that can come no more is not waited for", async () => {
  const lost: (() => void)[] = [];
  const connection = {
    subscribeMessage: async () => () => {},
    addEventListener: (_name: string, listener: () => void) => void lost.push(listener),
    removeEventListener: (_name: string, listener: () => void) => void lost.splice(lost.indexOf(listener), 1),
  };
  const hass = {
    language: "en",
    connection,
    entities: { k: { entity_id: "conversation.k", platform: "kitty" } },
    callWS: async () => ({ pipelines: [{ id: "p", conversation_engine: "conversation.k" }] }),
  } as unknown as Hass;
  const question = { text: "Hello", conversationId: "c", entryId: undefined };
  const failed = vi.fn();
  ask(hass, question, { words() {}, tool() {} }, new AbortController().signal).catch(failed);
  await settle();
  for (const one of [...lost]) one();
  await settle();
  expect(failed.mock.calls.map(([error]) => error.code)).toEqual(["connection_lost"]);
  expect(lost).toEqual([]);
});

test("a request that is moved in its list before it was shown long enough can be decided all the same", async () => {
  const decision = new KittyDecision();
  // Nothing is drawn, as there is no page here.
  const update = (changed: unknown) => kept(ReactiveElement.prototype, "update").call(decision, changed);
  Object.assign(decision, { createRenderRoot: () => ({}), update, event: { id: "e" } });
  decision.connectedCallback();
  await vi.advanceTimersByTimeAsync(500);
  decision.disconnectedCallback();
  decision.connectedCallback();
  await vi.advanceTimersByTimeAsync(999);
  expect(kept(decision, "ready")).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(kept(decision, "ready")).toBe(true);
});
