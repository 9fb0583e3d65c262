/** Rows of the workshop, as far as its pages use them; fields are as in docs/PROTOCOL.md. */

import type { Hass } from "../../data/hass";
import type { Device } from "../../data/types";
import { number } from "../../ui/format";

export interface PrinterState {
  status?: string | null;
  job?: {
    file: string;
    progress: number | null;
    elapsed_s: number | null;
    remaining_s: number | null;
    layer?: number | null;
    layers?: number | null;
    error: string | null;
  } | null;
  nozzle?: Heat | null;
  bed?: Heat | null;
}

export interface Heat {
  actual: number | null;
  target: number | null;
}

export interface Reason {
  code: string;
  device_id?: string;
  device_ids?: string[];
  item?: string;
  material?: string | null;
  color?: string | null;
  slot?: number | null;
  printers?: Record<string, string[]>;
  price?: number | null;
  at?: number;
  by_s?: number;
  needed?: number;
  free?: number;
  error?: string | null;
  file?: string;
}

export interface QueueItem {
  id: string;
  artifact_id: string | null;
  title: string;
  status: "queued" | "held" | "starting" | "printing" | string;
  priority: number;
  deadline: number | null;
  start: "asap" | "cheap";
  wanted_device_id: string | null;
  material: string | null;
  grams: number | null;
  estimated_s: number | null;
  device_id: string | null;
  planned_start: number | null;
  planned_end: number | null;
  reasons: Reason[];
  created_at: number;
}

export interface Bed {
  device_id: string;
  clear: boolean;
}

export interface Review {
  job_id: string;
  device_id: string;
  file: string;
  material: string | null;
  status: "waiting" | "done" | "lapsed" | "none";
  outcome: string;
  ended_at: number | null;
  good: boolean | null;
  rating: number | null;
  reasons: string[];
  note: string | null;
  has_picture: boolean;
}

export interface PastJob {
  id: string;
  device_id: string;
  file: string;
  status: "preparing" | "printing" | "paused" | "completed" | "failed" | "aborted";
  artifact_id: string | null;
  started_at: number | null;
  completed_at: number | null;
  error: string | null;
  cost_micro: number | null;
  used_g: number | null;
}

export interface Prediction {
  probability: number;
  low: number;
  high: number;
  n: number;
  cold: boolean;
  text: string;
}

export interface Costs {
  currency: string;
  total: number | null;
  parts: { what: "filament" | "energy" | "machine"; cost: number | null; estimated: boolean }[];
  unknown: string[];
}

export interface PrintFile {
  id: string;
  name: string;
  created_at: number;
  missing?: boolean;
  facts: Record<string, unknown> | null;
}

/** Returns the plates of a file among which somebody must choose; none where there is one, or nobody knows. */
export function platesOf(file: PrintFile | undefined): readonly number[] {
  const plates = file?.facts?.plate_numbers;
  return Array.isArray(plates) && plates.length > 1 ? plates : [];
}

export interface Stock {
  material: string;
  spools: number;
  total_g: number;
  reserved_g: number;
  free_g: number;
  low_g: number | null;
  order_g: number | null;
  low: boolean;
}

export interface Proposal {
  id: string;
  material: string;
  grams: number;
  cost: number | null;
  status: "proposed" | "approved";
  created_at: number;
}

export interface Use {
  id: string;
  spool_id: string;
  material: string;
  grams: number;
  cost: number | null;
  at: number;
}

export interface Eye {
  device_id: string;
  printer_id: string | null;
  health: "ok" | "frozen" | "dark" | "obstructed" | "unreachable" | "unknown";
  reason: string | null;
  verdict: "fine" | "spaghetti" | "clog" | "unknown" | null;
  confidence: number | null;
  what: string | null;
  detector: string | null;
  at: number | null;
  watching: boolean;
  muted_until_layer: number | null;
  muted_until: number | null;
  settings: { enabled?: boolean; action?: "notify" | "pause"; threshold?: number; every_s?: number };
}

export interface Incident {
  id: string;
  device_id: string;
  job_id: string | null;
  type: string;
  confidence: number;
  detail: string | null;
  picture: string | null;
  status: "open" | "confirmed" | "false_alarm" | "over";
  action: "notify" | "pause";
  answered_by: string | null;
  seen: number;
  created_at: number;
  closed_at: number | null;
  printer_id?: string;
}

export interface Policy {
  zone_id: string;
  required_roles: string[];
  requires_dual_confirm: boolean;
  requires_presence: boolean;
  requester_may_confirm: boolean;
  voice_may_confirm: boolean;
  presence_ttl: number;
}

export interface Zone {
  id: string;
  name: string;
  hazard_level: "low" | "medium" | "high";
  requires_ppe: boolean;
  door_ids: string[];
  policy: Policy | null;
  checks: { name: string; ok: boolean; observed_at: number }[];
}

export interface Member {
  id: string;
  display_name: string;
  roles: string[];
  active: boolean;
  /** Whether they have a code of their own; null where that is nobody's business. */
  has_code: boolean | null;
}

export interface Presence {
  zone_id: string;
  user_id: string;
  source: string;
  status: "present" | "vacated" | "unknown";
  observed_at: number;
}

export interface Rules {
  zones: Zone[];
  people: Member[] | null;
}

export const OPEN_JOB: ReadonlySet<string> = new Set(["preparing", "printing", "paused"]);

export function printerState(device: Device): PrinterState {
  return device.state as PrinterState;
}

/** Returns the entity of KITTY of one kind on a device of the brain, as this person sees it. */
export function entityOf(hass: Hass, device: Device, domain: string, key?: string): string | undefined {
  return Object.values(hass.entities).find(
    (one) =>
      one.platform === "kitty" &&
      one.device_id === device.registry_id &&
      one.entity_id.startsWith(`${domain}.`) &&
      (key === undefined || one.translation_key === key),
  )?.entity_id;
}

/** Returns what people call a device: as they named it in Home Assistant, else the brain's own word. */
export function deviceName(hass: Hass, device: Device | undefined): string | null {
  if (!device) return null;
  const registered = hass.devices[device.registry_id];
  return registered?.name_by_user ?? registered?.name ?? device.name;
}

/** In the order in which it will be printed: what is under way, what is planned, the rest. */
export function inOrder(items: readonly QueueItem[]): QueueItem[] {
  const turn = (item: QueueItem): number[] => [
    item.status === "queued" || item.status === "held" ? 1 : 0,
    item.planned_start ?? Number.POSITIVE_INFINITY,
    -item.priority,
    item.created_at,
  ];
  const compare = (one: number[], other: number[]): number => {
    const at = one.findIndex((value, index) => value !== other[index]);
    return at < 0 ? 0 : (one[at] ?? 0) < (other[at] ?? 0) ? -1 : 1;
  };
  return [...items].sort((one, other) => compare(turn(one), turn(other)));
}

/** Grams as people weigh them: a little of it to a tenth. */
export function grams(hass: Hass, value: number): string {
  return `${number(hass, value, Math.abs(value) < 10 ? 1 : 0)} g`;
}

/** Tells whether a printer has several places for spools, so that it matters which. */
export function hasSlots(device: Device | undefined): boolean {
  const { slots } = (device?.state ?? {}) as { slots?: unknown[] };
  return (slots?.length ?? 0) > 1;
}

/** A colour of filament for CSS; grey where nobody knows it. */
export function css(color: string | null | undefined): string {
  return color && /^[0-9a-f]{6}$/i.test(color) ? `#${color}` : "var(--disabled-color, #9e9e9e)";
}
