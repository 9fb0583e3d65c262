/** What is said of a brain that is not heard, and to whoever may only look. */

import { describe, expect, it } from "vitest";
import { KittyApprovalsCard } from "../src/cards/approvals-card";
import type { Connection, Hass } from "../src/data/hass";
import { Live, type Message, WHOLE } from "../src/data/live";
import type { Link } from "../src/data/types";
import { words } from "../src/i18n";
import { KittyPageApprovals } from "../src/pages/approvals";
import { KittyPageConversations } from "../src/pages/conversations";
import { KittyPageHealth } from "../src/pages/health";
import { KittyPageMaterials } from "../src/pages/materials";
import { KittyPagePrints } from "../src/pages/prints";
import { KittyPageResearch } from "../src/pages/research";
import { KittyOwnCode } from "../src/pages/shop/code";
import { KittyPageVision } from "../src/pages/vision";
import { KittyPageWorkshop } from "../src/pages/workshop";
import { KittyPanel } from "../src/panel";
import { settle, stopTime } from "./looker";

const NOT_KNOWN = words("en", "common.not_known");
const LOADING = words("en", "common.loading");
const HERE: Link = { entry_id: "e", title: "KITTY", connected: true, loaded: true, trouble: null, version: "1" };
const AWAY: Link = { ...HERE, connected: false };
const NEVER_HEARD: Link = { ...AWAY, loaded: false, trouble: "retry" };
const LAMP = {
  id: "lamp",
  kind: "light",
  name: "Lamp",
  zone_id: "attic",
  capabilities: ["light_off"],
  may_control: true,
  online: "online",
  state: { on: true },
};

type Rows = Record<string, Record<string, object>>;

/** Home Assistant with what it knows of a brain; a part that is not among the rows is not known. */
function home(link: Link, rows: Rows, isAdmin = true): Hass {
  const connection: Connection = {
    async subscribeMessage<T>(told: (message: T) => void, { part }: Record<string, unknown>) {
      const known = part === "link" ? { e: link } : rows[String(part)];
      const message: Message = known ? { rows: known } : { rows: {}, known: false };
      told(message as T);
      return () => {};
    },
    addEventListener() {},
    removeEventListener() {},
  };
  const hass = {
    language: "en",
    connection,
    user: { id: "ada", name: "Ada", is_admin: isAdmin, is_owner: false },
    config: { currency: "EUR", time_zone: "UTC" },
    states: {},
    entities: {},
    devices: {},
    areas: {},
    localize: () => "",
    hassUrl: (path: string) => path,
    callWS: () => new Promise(() => {}),
    loadBackendTranslation: async () => () => "",
  };
  return hass as unknown as Hass;
}

/** Every word and value of a template, those of elements of ours left out. */
function said(drawn: unknown): string {
  if (Array.isArray(drawn)) return drawn.map(said).join(" ");
  if (typeof drawn === "string" || typeof drawn === "number") return String(drawn);
  if (typeof drawn !== "object" || drawn === null || !("values" in drawn)) return "";
  return said(drawn.values);
}

/** What an element reads that lies before this person; nothing is drawn, as there is no page here. */
async function read(element: { render(): unknown }, hass: Hass): Promise<string> {
  Object.assign(element, { hass });
  for (const one of Object.values(element)) if (one instanceof Live) one.hostConnected();
  await settle();
  return said(element.render());
}

stopTime();

describe("of a brain that Home Assistant has not heard yet", () => {
  it.each([
    ["workshop", () => new KittyPageWorkshop()],
    ["health", () => new KittyPageHealth()],
    ["materials", () => new KittyPageMaterials()],
    ["prints", () => new KittyPagePrints()],
  ])("%s says that nothing is known, and not that nothing is there", async (_name, page) => {
    expect(await read(page(), home(NEVER_HEARD, {}))).toBe(NOT_KNOWN);
  });

  it("the panel says why, and that nothing is known", async () => {
    const shown = await read(new KittyPanel(), home(NEVER_HEARD, {}));
    expect(shown).toContain(words("en", "panel.retry"));
    expect(shown).toContain(NOT_KNOWN);
    expect(shown).not.toContain(LOADING);
  });
});

describe("the panel says what is to be done", () => {
  it("with a token that is not accepted any more", async () => {
    const shown = await read(new KittyPanel(), home({ ...AWAY, trouble: "reauth" }, {}));
    expect(shown).toContain("Settings > Devices and services > KITTY");
    expect(shown).not.toContain("by itself");
  });

  it("with a brain that could not be set up", async () => {
    const shown = await read(new KittyPanel(), home({ ...AWAY, loaded: false, trouble: "failed" }, {}));
    expect(shown).toContain("Settings > Repairs");
  });
});

it("the panel says that what is seen is old, where something is seen", async () => {
  const old = words("en", "panel.last_said");
  const refused: Link = { ...AWAY, trouble: "reauth" };
  const rows = { capabilities: { research: { name: "research", set_up: true, available: true } } };
  const panel = new KittyPanel();
  panel.route = { prefix: "/kitty", path: "/health" };
  expect(await read(panel, home(refused, rows))).toContain(old);
  expect(await read(new KittyPanel(), home(refused, {}))).not.toContain(old);
});

describe("of a brain that is away", () => {
  const rows = {
    devices: { lamp: LAMP },
    events: {},
    commands: {},
    presences: {},
    work: {},
    schedule: {},
    providers: {},
    health: { [WHOLE]: { status: "ok", parts: { memory: { ok: true, detail: null } } } },
  };

  it("nobody reads that an area has no rules, which were not read", async () => {
    const shown = await read(new KittyPageWorkshop(), home(AWAY, rows));
    expect(shown).toContain(words("en", "workshop.rules_not_known"));
    expect(shown).toContain("Lamp");
    expect(shown).not.toContain(words("en", "workshop.no_rules"));
  });

  it("nobody is offered what nobody would hear", async () => {
    const off = words("en", "workshop.light_off");
    expect(await read(new KittyPageWorkshop(), home(AWAY, rows))).not.toContain(off);
    expect(await read(new KittyPageWorkshop(), home(HERE, rows))).toContain(off);
  });

  it("nobody is offered to set a code, or to remove it", async () => {
    const remove = words("en", "codes.remove");
    const own = () => Object.assign(new KittyOwnCode(), { has: true });
    expect(await read(own(), home(AWAY, rows))).not.toContain(remove);
    expect(await read(own(), home(HERE, rows))).toContain(remove);
  });

  it("conversations are not known, and are asked for when it is back", async () => {
    const calls: unknown[] = [];
    const page = new KittyPageConversations();
    const seen = async (link: Link) => {
      const hass = { ...home(link, rows), callWS: async (message: unknown) => void calls.push(message) };
      const shown = await read(page, hass as unknown as Hass);
      page.willUpdate(new Map());
      await settle();
      return shown;
    };
    expect(await seen(AWAY)).toContain(NOT_KNOWN);
    expect(calls).toEqual([]);
    await seen(HERE);
    expect(calls).toHaveLength(1);
  });

  it("nobody reads that all is well, or waits for what does not come", async () => {
    const shown = await read(new KittyPageHealth(), home(AWAY, rows));
    expect(shown).toContain(NOT_KNOWN);
    expect(shown).not.toContain(words("en", "health.well"));
    expect(shown).not.toContain(LOADING);
  });

  it("nobody reads that nothing waits for people", async () => {
    const shown = await read(new KittyPageApprovals(), home(AWAY, rows));
    expect(shown).toContain(NOT_KNOWN);
    expect(shown).not.toContain(words("en", "approvals.none"));
  });

  it("a card of a dashboard says the same", async () => {
    const card = new KittyApprovalsCard();
    card.setConfig({ type: "custom:kitty-approvals" });
    expect(await read(card, home(AWAY, rows))).toContain(NOT_KNOWN);
  });
});

describe("of a brain that is there", () => {
  const rows = {
    devices: { lamp: LAMP },
    events: {},
    commands: {},
    presences: {},
    work: {},
    schedule: {},
    providers: {},
    health: { [WHOLE]: { status: "ok", parts: {} } },
  };

  it("it is said that all is well and that nothing waits", async () => {
    expect(await read(new KittyPageHealth(), home(HERE, rows))).toContain(words("en", "health.well"));
    expect(await read(new KittyPageApprovals(), home(HERE, rows))).toContain(words("en", "approvals.none"));
    const card = new KittyApprovalsCard();
    card.setConfig({ type: "custom:kitty-approvals" });
    expect(await read(card, home(HERE, rows))).toContain(words("en", "cards.approvals.nothing"));
  });

  it("rules that are still read are not said to be missing", async () => {
    const shown = await read(new KittyPageWorkshop(), home(HERE, rows));
    expect(shown).toContain(LOADING);
    expect(shown).not.toContain(words("en", "workshop.no_rules"));
  });
});

describe("whoever may only look is told to add nothing", () => {
  const rights = { [WHOLE]: { may_work: false, may_print_anywhere: false, may_decide: false, may_overrule: false } };
  const capabilities = { research: { name: "research", set_up: true, available: true } };
  const rows = { devices: {}, spools: {}, stock: {}, procurements: {}, vision: {}, incidents: {}, researches: {} };
  it.each([
    ["workshop", () => new KittyPageWorkshop()],
    ["prints", () => new KittyPagePrints()],
    ["vision", () => new KittyPageVision()],
    ["materials", () => new KittyPageMaterials()],
    ["research", () => new KittyPageResearch()],
  ])("in %s", async (_name, page) => {
    const all = { ...rows, rights, capabilities, answering: {} };
    expect(await read(page(), home(HERE, all, false))).not.toMatch(/\badd\b/i);
  });

  it("but whoever sets things up is", async () => {
    expect(await read(new KittyPageWorkshop(), home(HERE, rows))).toContain(words("en", "workshop.none"));
    const mine = { [WHOLE]: { ...rights[WHOLE], may_work: true } };
    expect(await read(new KittyPageMaterials(), home(HERE, { ...rows, rights: mine }, false))).toContain(
      words("en", "materials.none"),
    );
  });
});
