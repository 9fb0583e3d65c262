import { expect, test, vi } from "vitest";
import { ActionError, call, failureOf } from "../src/data/actions";
import { areaName, type Connection, differs, type Hass, personName } from "../src/data/hass";
import { Live, type Message } from "../src/data/live";
import { looker, settle, stopTime } from "./looker";

class Socket implements Connection {
  readonly asked: Record<string, unknown>[] = [];
  readonly ended: number[] = [];
  refuses: unknown;
  private readonly told: ((message: Message) => void)[] = [];
  private readonly listeners = new Set<() => void>();

  async subscribeMessage<T>(told: (message: T) => void, message: Record<string, unknown>) {
    this.asked.push(message);
    if (this.refuses) throw this.refuses;
    const number = this.told.push(told as (message: Message) => void) - 1;
    return () => {
      this.ended.push(number);
    };
  }

  addEventListener(name: string, listener: () => void): void {
    if (name === "ready") this.listeners.add(listener);
  }

  removeEventListener(_name: string, listener: () => void): void {
    this.listeners.delete(listener);
  }

  say(message: Message, subscription = this.told.length - 1): void {
    this.told[subscription]?.(message);
  }

  comeBack(): void {
    for (const listener of this.listeners) listener();
  }
}

function look(socket: Socket, entryId?: string) {
  const host = looker({ connection: socket }, entryId);
  const live = new Live<"devices", { n: number }>(host, "devices");
  live.hostConnected();
  return { live, host };
}

stopTime();

test("two who look at the same part share one subscription", async () => {
  const socket = new Socket();
  const [one, other] = [look(socket), look(socket)];
  await settle();
  socket.say({ rows: { a: { n: 1 } } });
  expect(socket.asked).toEqual([{ type: "kitty/subscribe", part: "devices" }]);
  expect([one.live.get("a"), other.live.get("a")]).toEqual([{ n: 1 }, { n: 1 }]);
  expect([one.host.drawn, other.host.drawn]).toEqual([1, 1]);
});

test("of a brain that was not heard nothing is known; what was known before stays", async () => {
  const socket = new Socket();
  const { live } = look(socket);
  await settle();
  socket.say({ rows: {}, known: false });
  expect([live.loaded, live.rows.size]).toEqual([false, 0]);
  socket.say({ rows: { a: { n: 1 } } });
  expect([live.loaded, live.rows.size]).toEqual([true, 1]);
  socket.say({ rows: {}, known: false });
  expect([live.loaded, live.rows.size]).toEqual([true, 1]);
});

test("another brain is another subscription", async () => {
  const socket = new Socket();
  look(socket, "first");
  look(socket, "second");
  await settle();
  expect(socket.asked.map((one) => one.entry_id)).toEqual(["first", "second"]);
});

test("when the socket is back it is asked anew, and what the old subscription says counts no more", async () => {
  const socket = new Socket();
  const { live } = look(socket);
  await settle();
  socket.say({ rows: { a: { n: 1 } } });
  socket.comeBack();
  await settle();
  socket.say({ changed: { a: { n: 0 } } }, 0);
  expect(live.get("a")).toEqual({ n: 1 });
  socket.say({ rows: { b: { n: 2 } } });
  expect([...live.rows.keys()]).toEqual(["b"]);
});

test("a refusal is told and tried again, later each time", async () => {
  const socket = new Socket();
  socket.refuses = { code: "unknown_command", message: "Unknown command." };
  const { live } = look(socket);
  await settle();
  expect(live.failure?.code).toBe("unknown_command");
  await vi.advanceTimersByTimeAsync(500);
  expect(socket.asked.length).toBe(2);
  await vi.advanceTimersByTimeAsync(999);
  expect(socket.asked.length).toBe(2);
  socket.refuses = undefined;
  await vi.advanceTimersByTimeAsync(1);
  socket.say({ rows: {} });
  expect([live.loaded, live.failure]).toEqual([true, null]);
});

test("who turns a page finds the rows there; what nobody looks at any more is ended", async () => {
  const socket = new Socket();
  const first = look(socket);
  await settle();
  socket.say({ rows: { a: { n: 1 } } });
  first.live.hostDisconnected();
  await vi.advanceTimersByTimeAsync(1_000);
  const second = look(socket);
  expect(second.live.get("a")).toEqual({ n: 1 });
  second.live.hostDisconnected();
  await vi.advanceTimersByTimeAsync(5_000);
  expect(socket.ended).toEqual([0]);
  look(socket);
  await settle();
  expect(socket.asked.length).toBe(2);
});

const hass = (more: Partial<Hass>) =>
  ({ states: {}, areas: {}, localize: () => "", loadBackendTranslation: async () => () => "", ...more }) as Hass;

test("an error of an action has its code, and words in the language of who called", async () => {
  const asked: unknown[] = [];
  const german = hass({
    callWS: async (message) => {
      asked.push(message);
      throw {
        code: "service_validation_error",
        message: "No",
        translation_key: "no_zone",
        translation_domain: "kitty",
      };
    },
    // The words come only when they are asked for: this object does not know them yet.
    loadBackendTranslation: async (category, domain) => (key) =>
      key === `component.${domain}.${category}.no_zone.message` ? "Kein Bereich" : "",
  });
  const failure = await call(german, "approve", { event_id: "e" }).catch((error: ActionError) => error);
  expect(failure).toBeInstanceOf(ActionError);
  expect(failureOf(failure)).toEqual({ code: "no_zone", message: "Kein Bereich" });
  expect(asked).toEqual([
    {
      type: "call_service",
      domain: "kitty",
      service: "approve",
      service_data: { event_id: "e" },
      return_response: true,
    },
  ]);
});

test("an error without words of its own keeps those that came", () => {
  expect(failureOf({ code: 3, message: "Lost" })).toEqual({ code: "3", message: "Lost" });
  expect(failureOf(new Error("Odd"))).toEqual({ code: "unknown", message: "Odd" });
  expect(failureOf("gone")).toEqual({ code: "unknown", message: "gone" });
});

test("a user is called as their person is, else as they call themselves", () => {
  const state = { entity_id: "person.anna", state: "home", last_changed: "" };
  const house = hass({
    states: { "person.anna": { ...state, attributes: { user_id: "a", friendly_name: "Anna" } } },
    user: { id: "b", name: "Bob", is_admin: false, is_owner: false },
    areas: { shop: { area_id: "shop", name: "Workshop" } },
  });
  expect(["a", "b", "c", null].map((id) => personName(house, id))).toEqual(["Anna", "Bob", null, null]);
  expect(["shop", "gone", null].map((id) => areaName(house, id))).toEqual(["Workshop", null, null]);
});

test("a state that changed is no reason to draw a page anew", () => {
  const before = hass({ language: "en" });
  expect(differs({ ...before, states: {} }, before)).toBe(false);
  expect(differs({ ...before, language: "de" }, before)).toBe(true);
  expect(differs(before, undefined)).toBe(true);
});
