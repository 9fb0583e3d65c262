/** What the actions and live parts of the mind tell; fields are as in docs/PROTOCOL.md. */

export type Tier = "local" | "mcp" | "frontier" | "agent";

export interface Conversation {
  id: string;
  owner: string | null;
  participants: string[];
  /** What the participants are called. */
  people: (string | null)[];
  title: string | null;
  turns: number;
  waits: boolean;
  created_at: number;
  last_message_at: number;
}

/** One model or tier that was asked on the way to an answer. */
export interface Attempt {
  tier: Tier;
  model: string | null;
  confidence: number;
  cost: number;
  latency_ms: number;
  reason: string;
  cached: boolean;
  tokens_in: number | null;
  tokens_out: number | null;
  stages: Record<string, number> | null;
}

export interface Call {
  name: string;
  arguments?: unknown;
  result?: unknown;
  error?: boolean;
}

export interface Message {
  id: string;
  role: "user" | "assistant";
  user_id: string | null;
  name: string | null;
  text: string;
  trust: "person" | "system" | "outside";
  calls: Call[] | null;
  created_at: number;
  answer: (Attempt & { tried: Attempt[] }) | null;
}

export interface Page<T> {
  items: T[];
  cursor: string | null;
}

export interface Thread extends Page<Message> {
  conversation: Conversation;
}

export interface Memory {
  id: string;
  text: string;
  source: string;
  trust: "person" | "system" | "outside";
  shared: boolean;
  created_at: number;
  score?: number;
}

export interface MemoryStatus {
  enabled: boolean;
  own: number;
  house: number;
  method: "hybrid" | "lexical";
  trouble: string | null;
}

export interface Mind {
  last: { tier: Tier | null; model: string | null; cost: number | null };
  cache: { hits: number; misses: number; ratio: number | null };
  memories: number;
  queue: number;
}

export interface Step {
  name: string;
  kind: string;
  title: string;
  status: "running" | "completed" | "failed";
  detail?: string | null;
}

export interface Research {
  id: string;
  question: string;
  status: "pending" | "running" | "completed" | "failed" | "cancelled";
  steps: Step[];
  answered: "yes" | "partly" | "no" | null;
  limits: { code: string; text: string }[];
  error: string | null;
  budget: number;
  cost: number;
  requested_by: string | null;
  created_at: number;
  finished_at: number | null;
}

export interface WholeResearch extends Research {
  report: string | null;
  sources: { number: number; url: string; title: string }[];
  notes: { number: number; url: string; title: string; quotes: { claim: string; quote: string }[] }[];
}

export interface Goal {
  id: string;
  title: string;
  reason: string;
  origin: string;
  about: Record<string, unknown> | null;
  status: "identified" | "approved" | "rejected" | "active" | "completed" | "failed";
  priority: number;
  metric: string | null;
  budget: number | null;
  created_by: string | null;
  decided_by: string | null;
  created_at: number;
}

export interface Task {
  id: string;
  position: number;
  title: string;
  kind: "research" | "ask" | "remind" | "request" | "measure";
  needs: number[];
  details: Record<string, unknown> | null;
  status: "pending" | "running" | "waiting" | "completed" | "failed" | "cancelled";
  result: string | null;
  error: string | null;
}

export interface Project {
  id: string;
  goal_id: string;
  title: string;
  status: "active" | "completed" | "failed" | "cancelled";
  budget: number;
  spent: number;
  tasks: Task[];
  created_at: number;
  finished_at: number | null;
}

export interface Figure {
  value: number | null;
  n: number;
}

export interface Outcome {
  goal_id: string;
  title: string;
  status: string;
  metric: string;
  baseline: Figure;
  result: (Figure & { better_probability?: number | null }) | null;
  score: number | null;
  measured_at: number | null;
  completed_at: number | null;
}

export interface Period {
  spent: number;
  cap: number;
}

export interface Budget {
  step: "normal" | "soft" | "local_only";
  day: Period;
  month: Period;
  /** The share of a cap from which what is cheap is preferred. */
  soft: number;
  currency: string;
}

export interface Spent {
  day: string;
  tier: Tier;
  provider_id: string;
  model: string | null;
  calls: number;
  cost: number;
  tokens_in: number;
  tokens_out: number;
}

export interface Spending {
  currency: string;
  since: string;
  today: string;
  items: Spent[];
}

export interface Answered {
  day: string;
  tier: Tier;
  answers: number;
  cached: number;
}

export interface Decisions {
  days: Answered[];
  tiers: { tier: Tier; answers: number; p50_ms: number; p99_ms: number }[];
  cache: { entries: number; bytes: number; most_bytes: number; hits: number; misses: number; hit_ratio: number | null };
}
