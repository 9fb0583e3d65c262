/** The rows of kitty/subscribe, by part. Fields are as in docs/PROTOCOL.md; a page adds what it needs of a row. */

export interface Device {
  id: string;
  driver: string;
  name: string;
  kind: "door" | "light" | "power" | "printer" | "sensor" | "camera" | string;
  zone_id: string | null;
  capabilities: string[];
  online: "online" | "offline" | "fault";
  reason: string | null;
  last_seen: number | null;
  state: Record<string, unknown>;
  has_camera: boolean;
  feeds: string | null;
  power_off_when_cool: boolean;
  /** Home Assistant's own id of it, as actions want it; empty before it is registered. */
  registry_id: string;
  /** Whether this user may call actions on it. */
  may_control: boolean;
}

export interface SafetyEvent {
  id: string;
  command_id: string;
  device_id: string;
  device_name: string;
  zone_id: string | null;
  intent: string;
  params: Record<string, unknown>;
  level: "low" | "medium" | "high";
  status: "pending" | "approved" | "denied" | "expired";
  people_needed: number;
  initiated_by: string | null;
  channel: string;
  created_at: number;
  expires_at: number;
  resolved_at: number | null;
  approved_by: string[];
  denied_by: string | null;
  reason: string | null;
  requires_ppe: boolean;
  eligible: string[];
  evidence_key: string | null;
  /** Whether this user may say anything about it. */
  may_control: boolean;
}

export interface Command {
  id: string;
  device_id: string;
  device_name: string;
  intent: string;
  params: Record<string, unknown>;
  status: string;
  requested_by: string | null;
  created_at: number;
  detail: string | null;
  event_id: string | null;
}

export interface Job {
  id: string;
  device_id: string;
  file: string;
  status: "preparing" | "printing" | "paused" | "completed" | "failed" | "aborted";
  progress: number | null;
  started_at: number | null;
  completed_at: number | null;
  requested_by: string | null;
  error: string | null;
}

export interface Capability {
  name: string;
  title: string;
  enabled: boolean;
  available: boolean;
  because: string | null;
  needs: string[];
  set_up: boolean;
  changed_by: string | null;
  changed_at: number | null;
  /** Its switch in Home Assistant; null where this user may not see it. */
  entity_id: string | null;
}

export interface Spool {
  id: string;
  name: string | null;
  vendor: string | null;
  material: string;
  color: string | null;
  color_name: string | null;
  full_g: number | null;
  remaining_g: number;
  reserved_g: number;
  free_g: number;
  percent: number | null;
  price: number | null;
  location: string | null;
  device_id: string | null;
  slot: number | null;
  archived: boolean;
}

export interface Link {
  entry_id: string;
  title: string;
  /** Whether the brain is connected now. */
  connected: boolean;
  /** Whether Home Assistant has this brain set up now. */
  loaded: boolean;
  version: string | null;
  /** What has to be done before it is heard: a new token or a repair by people, or nothing but another try. */
  trouble: "reauth" | "failed" | "retry" | null;
}

/** What this user may do with what is no device of its own. */
export interface Rights {
  /** Controls some printer: spools, stock, what should be bought. */
  may_work: boolean;
  /** Controls all printers: what goes to whichever is best. */
  may_print_anywhere: boolean;
  /** Has a role in the workshop: agrees to goals, or does not. */
  may_decide: boolean;
  /** Ends and renews what other people wanted. */
  may_overrule: boolean;
}

/** What may answer: a language model, or a server of tools. */
export interface Answering {
  tier: string;
  enabled: boolean;
}

/** A row of which only its page knows the fields: give your own type as `Live<"queue", QueueItem>`. */
export type Row = Record<string, unknown>;

export interface Parts {
  devices: Device;
  events: SafetyEvent;
  commands: Command;
  jobs: Job;
  capabilities: Capability;
  spools: Spool;
  link: Link;
  rights: Rights;
  answering: Answering;
  providers: Row;
  queue: Row;
  beds: Row;
  stock: Row;
  procurements: Row;
  incidents: Row;
  vision: Row;
  reviews: Row;
  schedule: Row;
  work: Row;
  goals: Row;
  projects: Row;
  researches: Row;
  health: Row;
  budget: Row;
  mind: Row;
  audit: Row;
  fleet: Row;
  presences: Row;
}
