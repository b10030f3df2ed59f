// The form of a record: members, types and known words, as hearth's own _structure.py asks for them. No more than form:
// whether it is true the checks tell.

const BASE = ["details", "error_message", "event_hash", "event_type", "execution_id", "previous_event_hash", "sequence", "step_index",
  "step_name", "timestamp"];
const FORMS = { // by the type of an entry: the list that it stands in, and its members beside those of all
  execution_started: ["marks"], execution_sealed: ["marks"], step_started: ["step_events"],
  step_completed: ["step_events", "elapsed_us"], step_failed: ["step_events", "elapsed_us"],
  side_effect: ["side_effects_observed", "category", "description", "origin", "reversible"],
};
const RECORD = ["completion_reason", "execution_hash", "execution_id", "live_mode_state", "marks", "plan_id", "schema",
  "security_snapshot_post", "security_snapshot_pre", "side_effects_report", "signatures", "status", "step_events", "timestamp_end",
  "timestamp_start"];
const REPORT = ["side_effects_declared", "side_effects_observed", "unknown_effects", "unknown_effects_why"];
const SNAPSHOT = ["boundary_state", "context", "security_state", "timestamp"];
const KNOWN = {
  category: ["configuration", "data_mutation", "file_system", "network", "other", "system"],
  origin: ["observed", "reported"],
  status: ["completed", "completed_partial", "failed", "incomplete", "started"],
};

const CAUSES = ["completed", "escalation", "failed", "interrupted", "recorder_failure", "recovered"];

const isText = (value) => typeof value === "string";
const isNull = (value) => value === null;
const isBoolean = (value) => typeof value === "boolean";
const isHash = (value) => isText(value) && /^[0-9a-f]{64}$/.test(value);
const isTime = (value) => {
  if (!isText(value) || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(value) || value.startsWith("0000")) return false;
  const read = new Date(`${value.slice(0, 23)}Z`); // and no 30th of February
  return !Number.isNaN(read.getTime()) && read.toISOString().slice(0, 23) === value.slice(0, 23);
};
const eitherOf = (...kinds) => (value) => kinds.some((kind) => kind(value));
const hasMembers = (value, members) => isObject(value) && same(Object.keys(value).sort(byUnits), [...members].sort(byUnits));

function formed(value, kinds, place) { // each named member is of its kind
  for (const [name, kind] of Object.entries(kinds)) need(own(value, name) && kind(value[name]), `${place}: ${name} is not of the form of one`);
}

function snapshotForm(value, place) {
  need(hasMembers(value, SNAPSHOT), `${place} has other members`);
  formed(value, { timestamp: isTime, security_state: isText, boundary_state: isText, context: isText }, place);
}

function entryForm(entry, list, place) {
  need(isObject(entry) && isText(entry.event_type) && own(FORMS, entry.event_type), `${place} is of no known type`);
  const [where, ...more] = FORMS[entry.event_type];
  need(where === list, `${place} holds a ${entry.event_type}, which belongs elsewhere`);
  const declares = entry.event_type === "step_started" && own(entry, "declared_effects");
  need(hasMembers(entry, [...BASE, ...more, ...(declares ? ["declared_effects"] : [])]), `${place} has other members`);
  formed(entry, {
    sequence: (value) => Number.isInteger(value) && value >= 0, execution_id: isText, timestamp: isTime, details: isObject,
    step_index: where === "step_events" ? Number.isInteger : eitherOf(isNull, Number.isInteger), step_name: eitherOf(isNull, isText),
    error_message: eitherOf(isNull, isText), previous_event_hash: isHash, event_hash: isHash,
  }, place);
  if (more.includes("elapsed_us")) formed(entry, { elapsed_us: eitherOf(isNull, Number.isInteger) }, place);
  if (declares) formed(entry, { declared_effects: (value) => Array.isArray(value) && value.every(isObject) }, place);
  if (where !== "side_effects_observed") return;
  formed(entry, {
    category: (value) => KNOWN.category.includes(value), origin: (value) => KNOWN.origin.includes(value), description: isText,
    reversible: isBoolean,
  }, place);
}

function marksForm(started, sealed) { // what a record is built from
  const optional = eitherOf(isNull, isText);
  formed(started, {
    plan_id: isText, plan_digest: optional, number_of_steps: eitherOf(isNull, Number.isInteger), live_mode: optional, security_snapshot: isObject,
  }, "entry 0");
  const indices = own(started, "step_indices") ? started.step_indices : null;
  need(indices === null || (Array.isArray(indices) && indices.length === started.number_of_steps), "entry 0 does not name as many steps as there are");
  need(indices !== null || started.number_of_steps <= 10_000_000, `entry 0 claims a plan of ${started.number_of_steps} steps`);
  formed(sealed, {
    status: (value) => KNOWN.status.includes(value), cause: (value) => CAUSES.includes(value), reason: isText, number_of_entries: Number.isInteger,
    unknown_effects: isBoolean, unknown_effects_why: Array.isArray, security_snapshot: isObject,
  }, "the seal");
}

function recordForm(record) {
  need(record.schema === "hearth/execution-record/v1", "it is no record of version 1");
  need(RECORD.every((name) => own(record, name)), "the record lacks members");
  for (const name of Object.keys(record)) need(RECORD.includes(name) || name === "disclosures" || name === "erasures", `the record has a member ${name}`);
  formed(record, {
    execution_id: isText, plan_id: isText, live_mode_state: isText, completion_reason: isText, status: (value) => KNOWN.status.includes(value),
    execution_hash: isHash, timestamp_start: isTime, timestamp_end: eitherOf(isNull, isTime),
  }, "the record");
  snapshotForm(record.security_snapshot_pre, "security_snapshot_pre");
  if (record.security_snapshot_post !== null) snapshotForm(record.security_snapshot_post, "security_snapshot_post");
  const report = record.side_effects_report;
  need(hasMembers(report, REPORT), "the report of effects has other members");
  formed(report, { side_effects_declared: (value) => Array.isArray(value) && value.every(isObject), unknown_effects: isBoolean }, "the report of effects");
  need(Array.isArray(report.unknown_effects_why) && report.unknown_effects_why.every(isObject), "unknown_effects_why is no list of objects");
  const lists = { marks: record.marks, step_events: record.step_events, side_effects_observed: report.side_effects_observed };
  for (const [name, list] of Object.entries(lists)) list.forEach((entry, place) => entryForm(entry, name, `${name}[${place}]`));
}
