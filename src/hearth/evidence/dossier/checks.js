// The verifier's second half: the checks. Each returns what it found, or throws: Unchecked where it cannot be made.

const GENESIS = "0".repeat(64);
const APPROVED = ["approval", "emergency"];
const CALLED = { request: "requester", decision: "approver", review: "reviewer" };
const KINDS = {
  request: "application/vnd.hearth.approval-request.v1+json",
  decision: "application/vnd.hearth.approval.v1+json",
  review: "application/vnd.hearth.emergency-review.v1+json",
};
const MEMBERS = ["approval", "erasures", "made_at", "made_by", "manifests", "page", "plan", "plan_missing", "policy", "proof",
  "proof_missing", "record", "rollback", "schema", "witnesses"];

const text = element("dossier-data").textContent;
const sealText = element("dossier-seal").textContent;
let data, seal, entries;

function readSeal() {
  const found = JSON.parse(sealText);
  need(embedded(found) === sealText && found.schema === "hearth.dossier-seal/1", "the seal beside the data has not the form of one");
  need(same(Object.keys(found).sort(byUnits), ["envelope", "key", "schema", "sha256"]), "the seal has other members");
  return found;
}

async function dataBytes() {
  seal = readSeal();
  const found = await digest(text);
  need(found === seal.sha256, `the data have the SHA-256 ${found}, and not the one beside them`);
  return `${grouped(utf8.encode(text).length)} bytes, SHA-256 ${found}`;
}

async function dataCanonical() {
  const found = JSON.parse(text);
  need(embedded(found) === text, "the data are not in canonical form");
  need(!/(?:^|[^\\])(?:\\\\)*\\ud[89a-f][0-9a-f]{2}/.test(text), "a text in the data has half of a character");
  need(found.schema === "hearth.dossier/1" && same(Object.keys(found).sort(byUnits), MEMBERS), "they are not a dossier's");
  data = found;
  const report = data.record.side_effects_report;
  entries = [...data.record.marks, ...data.record.step_events, ...report.side_effects_observed]
    .sort((one, other) => one.sequence - other.sequence);
  return "canonical, byte for byte";
}

async function dataSignature() {
  if (seal.envelope === null) unchecked("the file is not signed: nothing vouches for what stands outside the record but its own SHA-256");
  const key = publicKey(seal.key);
  const envelope = parsedEnvelope(seal.envelope);
  need(envelope.kind === "application/vnd.hearth.dossier-seal.v1+json", "the envelope is of another kind");
  need(await signedBy(envelope, key), "the signature does not verify with the key beside it");
  const { execution_id, execution_hash } = data.record;
  const says = { schema: seal.schema, sha256: seal.sha256, execution_id, execution_hash, made_at: data.made_at };
  need(envelope.payload === canonical(says), "what was signed is another file");
  return `signed by the key id ${await keyId(key)} (the key that is in the file)`;
}

async function pageValues() {
  const all = document.querySelectorAll("[data-at]");
  for (const one of all) {
    const value = at(data, one.dataset.at), how = one.dataset.as || "text";
    const expected = how === "key" ? shown(lastKey(one.dataset.at), "text") : shown(value, how, data.record.timestamp_start);
    need(one.textContent === expected, `${one.dataset.at} is shown as “${one.textContent.slice(0, 60)}”`);
  }
  const rows = Array.from(document.querySelectorAll("[data-entry]"), (one) => Number(one.dataset.entry));
  const left = Number(element("timeline").dataset.left);
  const numbers = entries.map((one) => one.sequence);
  const most = Math.max(0, numbers.length - rows.length);
  need(left === most && (left === 0 || rows.length >= 1000), "an entry is left out of the timeline");
  const half = left ? rows.length / 2 : rows.length;
  need(same(rows, [...numbers.slice(0, half), ...(left ? numbers.slice(-half) : [])]), "the timeline is not in order");
  const failed = data.record.step_events.filter((one) => one.event_type === "step_failed").length;
  need(document.querySelectorAll('.step[data-outcome="failed"]').length === failed, "a failed step is not shown as one");
  return plural(all.length, "value");
}

async function recordEntries() {
  need(entries.length > 0, "there are no entries");
  await Promise.all(entries.map(async (entry) => {
    const found = await digest("HEARTH-event-v1\0", canonical(without(entry, "event_hash")));
    need(found === entry.event_hash, `entry ${entry.sequence} was changed`);
  }));
  return `${entries.length} entries`;
}

function statusOfSteps(started) { // what a completed execution deserves: every start ended, none failed, all of the plan done
  const open = new Map(), wanted = new Map();
  const indices = started.step_indices || Array.from({ length: started.number_of_steps || 0 }, (_, index) => index);
  for (const index of indices) wanted.set(index, (wanted.get(index) || 0) + 1);
  let failed = false;
  for (const entry of entries) {
    const index = entry.step_index;
    if (entry.event_type === "step_started") open.set(index, (open.get(index) || 0) + 1);
    if (entry.event_type !== "step_completed" && entry.event_type !== "step_failed") continue;
    if (open.get(index)) open.set(index, open.get(index) - 1);
    if (entry.event_type === "step_failed") failed = true;
    else if (wanted.get(index)) wanted.set(index, wanted.get(index) - 1);
  }
  const left = [...open.values(), ...wanted.values()].some((count) => count > 0);
  return left || failed ? "completed_partial" : "completed";
}

async function recordChain() {
  recordForm(data.record);
  let previous = GENESIS, steppedBack = 0, time = "";
  const last = entries.length - 1;
  entries.forEach((entry, place) => {
    need(entry.sequence === place, `entry ${place} is missing, or entry ${entry.sequence} stands twice`);
    need(entry.previous_event_hash === previous, `entry ${place} does not follow the one before`);
    need(entry.execution_id === entries[0].execution_id, `entry ${place} belongs to another execution`);
    need((entry.event_type === "execution_started") === (place === 0), `entry ${place} opens, or does not open, the chain`);
    need((entry.event_type === "execution_sealed") === (place === last), "the seal is not the last entry: the record is not sealed, or goes on");
    previous = entry.event_hash;
    if (entry.timestamp < time) steppedBack += 1;
    time = entry.timestamp;
  });
  for (const list of [data.record.marks, data.record.step_events, data.record.side_effects_report.side_effects_observed]) {
    list.forEach((entry, place) => need(!place || list[place - 1].sequence < entry.sequence, `entry ${entry.sequence} is out of place`));
  }
  const said = entries[last].details;
  marksForm(entries[0].details, said);
  need(said.number_of_entries === entries.length, `the seal counts ${said.number_of_entries} entries, but there are ${entries.length}`);
  const fits = { completed: ["completed", "completed_partial"], failed: ["failed"] }[said.cause] || ["incomplete"];
  need(fits.includes(said.status), `the seal's status ${said.status} does not go with its cause ${said.cause}`);
  const given = statusOfSteps(entries[0].details);
  need(said.cause !== "completed" || said.status === given, `the seal says ${said.status}, but the steps give ${given}`);
  return `whole, from the opening to the seal${steppedBack ? `; the clock stepped back ${plural(steppedBack, "time")}` : ""}`;
}

async function recordFields() {
  const record = data.record, report = record.side_effects_report;
  const start = entries[0], end = entries[entries.length - 1];
  const declared = entries.flatMap((one) => (one.declared_effects || []).map((effect) => ({ step_index: one.step_index, ...effect })));
  const pairs = {
    execution_id: [record.execution_id, start.execution_id], plan_id: [record.plan_id, start.details.plan_id],
    timestamp_start: [record.timestamp_start, start.timestamp], timestamp_end: [record.timestamp_end, end.timestamp],
    security_snapshot_pre: [record.security_snapshot_pre, start.details.security_snapshot],
    security_snapshot_post: [record.security_snapshot_post, end.details.security_snapshot],
    live_mode_state: [record.live_mode_state, start.details.live_mode === null ? record.live_mode_state : start.details.live_mode],
    status: [record.status, end.details.status], completion_reason: [record.completion_reason, end.details.reason],
    unknown_effects: [report.unknown_effects, end.details.unknown_effects],
    unknown_effects_why: [report.unknown_effects_why, end.details.unknown_effects_why],
    side_effects_declared: [report.side_effects_declared, declared],
  };
  for (const [name, [stated, recorded]] of Object.entries(pairs)) need(same(stated, recorded), `${name} is not what the entries say`);
  return "they agree";
}

async function recordHash() {
  const bare = ["disclosures", "erasures"].every((name) => !own(data.record, name)) && same(data.record.signatures, []);
  need(bare, "the record brings signatures, disclosures or erasures, which its hash does not cover");
  const found = await digest("HEARTH-record-v1\0", canonical(without(data.record, "execution_hash", "signatures", "disclosures", "erasures")));
  need(found === data.record.execution_hash, `the record has the hash ${found}, and not the one that it states`);
  return found;
}

async function planCopy() {
  const kept = data.plan, started = entries[0].details;
  if (kept === null) unchecked(data.plan_missing || "the plan is not in the file");
  need(data.plan_missing === "", "the plan is in the file, and is said to be missing");
  need((await digest(canonical(kept), "\n")) === started.plan_copy, "the plan is not the one that entry 0 names");
  need(kept.digest === started.plan_digest, "the plan's digest is not the one that entry 0 names");
  const found = await digest("HEARTH-plan-v1\0", canonical({ plan: kept.plan, inputs: kept.inputs, tasks: kept.tasks }));
  if (found === kept.digest) return `kept copy and digest ${found}`;
  need(/\{"\$sha256":|\[redacted:/.test(canonical(kept)), "the plan does not give the digest that was approved");
  return "the kept copy; its digest cannot be given anew, for values in it are withheld";
}

function signedForRun() {
  const named = entries[0].details.approval;
  if (!isObject(named) || !APPROVED.includes(named.kind)) {
    need(data.approval === null, "there is an approval that the record does not name");
    unchecked(`the run was not approved by signatures; its live mode was ${data.record.live_mode_state}`);
  }
  need(isObject(data.approval), "the record names an approval that is not in the file");
  if (data.approval.request === null) unchecked(data.approval.missing || "what was signed is not in the file");
  need(data.approval.missing === "", "what was signed is in the file, and is said to be missing");
  need(Array.isArray(data.approval.decisions) && Array.isArray(data.approval.reviews), "the decisions, or the reviews, are no list");
  return { named, ...data.approval };
}

async function approvalSignatures() {
  const { request, decisions, reviews } = signedForRun();
  const known = data.policy.keys.map((one) => ({ name: one.name, raw: publicKey(one.key) }));
  need(known.every((one) => isText(one.name)) && new Set(known.map((one) => one.name)).size === known.length, "a name stands twice among the keys, or is none");
  const all = [["request", request], ...decisions.map((one) => ["decision", one]), ...reviews.map((one) => ["review", one])];
  const said = [], strangers = [], voices = new Map();
  for (const [what, signed] of all) {
    const envelope = parsedEnvelope(signed.envelope);
    need(envelope.payload === canonical(signed.says), `the ${what} says something else than was signed`);
    need(envelope.kind === KINDS[what], `the envelope of the ${what} is of another kind`);
    let count = 0;
    for (const key of known) {
      if (!(await signedBy(envelope, key.raw))) continue;
      count += 1;
      const called = signed.says[CALLED[what]];
      if (what === "decision" && signed.says.verdict === "approve") {
        const other = voices.get(hex(key.raw)) ?? called;
        need(other === called, `one key approved as ${other} and as ${called}`);
        voices.set(hex(key.raw), called);
      }
      said.push(`${what} by ${key.name}, key id ${await keyId(key.raw)}${called === key.name ? "" : `, as ${called}`}`);
    }
    if (count) continue;
    const ids = await Promise.all(known.map((key) => digest(key.raw)));
    need(!envelope.signatures.some((one) => ids.includes(one.keyid)), `the signature under the ${what} does not verify`);
    strangers.push(what);
  }
  if (strangers.length) unchecked(`signed by keys that are not in the file: ${strangers.join(", ")}`);
  return said.join("; ");
}

async function approvalBinding() {
  const { named, request, decisions, reviews, use } = signedForRun();
  const started = entries[0].details, record = data.record, asked = request.says;
  const pairs = {
    request_id: named.request_id, plan_id: started.plan_id, plan_digest: started.plan_digest, plan_copy: started.plan_copy,
    preview_digest: own(named, "preview_digest") ? named.preview_digest : null, ledger_id: started.ledger_id,
    mode: record.live_mode_state, emergency: named.kind === "emergency",
  };
  for (const [name, value] of Object.entries(pairs)) need(asked[name] === value, `the request is not for this run: ${name} differs`);
  const wanted = await digest(canonical(asked));
  for (const { says } of decisions) {
    need(says.request_digest === wanted, `the decision of ${says.approver} is on another request`);
    need(says.verdict === "approve" || says.verdict === "deny", "a decision has no verdict");
    need(says.verdict === "approve" || says.created > record.timestamp_start, `${says.approver} had denied it before the run began`);
    need(says.verdict === "deny" || record.timestamp_start < says.expires, "an approval had expired when the run began");
  }
  const approvers = decisions.filter((one) => one.says.verdict === "approve").map((one) => one.says.approver);
  for (const name of named.approvers) need(approvers.includes(name), `entry 0 names ${name} as an approver, who signed no approval here`);
  need(approvers.length > 0, "nobody approved it");
  need(use !== null && use.execution_id === record.execution_id, "the approval was used by another run");
  need(named.kind === "emergency" || !reviews.length, "there is a review of an emergency, and the run was none");
  const ofRun = { request_id: asked.request_id, ledger_id: asked.ledger_id, execution_id: record.execution_id };
  for (const { says } of reviews) {
    for (const [name, value] of Object.entries(ofRun)) need(says[name] === value, `a review is of another run: ${name} differs`);
  }
  const others = Array.from(new Set(approvers)).filter((name) => !named.approvers.includes(name)).sort(byUnits);
  return `request ${asked.request_id}, approved by ${named.approvers.join(", ")}, used by this run alone`
    + (others.length ? `; what ${others.join(", ")} signed, too, counted for nothing` : "");
}

async function manifests() {
  const approval = entries[0].details.approval;
  const named = isObject(approval) && typeof approval.preview_digest === "string" ? [["preview", null, approval.preview_digest]] : [];
  for (const event of data.record.step_events) {
    const one = event.details.manifest;
    if (isObject(one) && typeof one.sha256 === "string") named.push(["step", event.step_index, one.sha256]);
  }
  need(same(data.manifests.map((one) => [one.of, one.step_index, one.sha256]), named), "the manifests are not those that the record names");
  let held = 0, folded = 0;
  for (const one of data.manifests) {
    if (one.document === null) {
      need(one.missing !== "", "a manifest is missing without a reason");
      folded += 1;
      continue;
    }
    const content = canonical(one.document);
    need((await digest(content)) === one.sha256, `the manifest ${one.sha256} was changed`);
    need(one.bytes === utf8.encode(content).length && one.missing === "", "what is said of a manifest is not what it is");
    held += 1;
  }
  if (!named.length) return "the record names none";
  if (!held) unchecked(`none of the ${folded} manifests is in the file; their digests stand in the record`);
  return `${held} manifests${folded ? `; ${folded} are not in the file, their digests stand in the record` : ""}`;
}

async function rollbackPlan() {
  const scaffold = data.rollback, record = data.record, hints = scaffold.rollback_hints;
  for (const name of ["execution_id", "plan_id", "status"]) need(scaffold[name] === record[name], `the guidance is for another execution: ${name} differs`);
  if (data.plan === null && hints.length) unchecked("the plan is not in the file, so its guidance cannot be compared");
  const defaults = { actions: [], required_inputs: [], risks: [], estimated_duration: "" };
  for (const hint of hints) {
    const step = data.plan.plan.steps[hint.step_index];
    need(isObject(step) && isObject(step.rollback), `the plan has no guidance for step ${hint.step_index}`);
    for (const name of ["description", ...Object.keys(defaults)]) {
      const said = own(step.rollback, name) ? step.rollback[name] : defaults[name];
      need(same(hint[name], said), `the guidance for step ${hint.step_index} is not the plan's: ${name} differs`);
    }
  }
  return hints.length ? `${hints.length} hints` : "no hint is given";
}

// --- the log (RFC 6962; C2SP tlog-proof, tlog-checkpoint, signed-note, tlog-cosignature)

function proofOfLog() {
  if (data.proof === null) unchecked(data.proof_missing || "there is no proof of a log in the file");
  need(data.proof_missing === "", "there is a proof in the file, and it is said to be missing");
  need(same(Object.keys(data.proof).sort(byUnits), ["leaf", "log_key", "more", "origin", "proof"]), "the proof has not the form of one");
  return data.proof;
}

function parsedProof(proof) {
  const [head, ...rest] = proof.proof.split("\n\n");
  const lines = head.split("\n");
  need(rest.length === 2 && lines.shift() === "c2sp.org/tlog-proof@v1", "this is no proof of a log");
  const changed = Boolean(lines[0] && lines[0].startsWith("extra ")); // the history of the log's keys
  if (changed) lines.shift();
  const index = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() || "");
  need(index, "the proof does not say which entry it is for");
  const [origin, size, root, ...more] = rest[0].split("\n");
  need(/^(0|[1-9][0-9]{0,15})$/.test(size) && more.every((line) => line), "the checkpoint has not the form of one");
  const signatures = rest[1].split("\n");
  need(signatures.pop() === "" && signatures.length > 0, "the checkpoint is not signed");
  return {
    changed, index: Number(index[1]), hashes: lines.map(fromBase64), note: `${rest[0]}\n`, origin, size: Number(size), root: fromBase64(root),
    signatures: signatures.map((line) => {
      const found = /^— ([^ +\n]+) ([A-Za-z0-9+/]+={0,2})$/.exec(line);
      need(found, "a line under the checkpoint is no signature");
      const blob = fromBase64(found[2]);
      return { name: found[1], id: hex(blob.slice(0, 4)), value: blob.slice(4) };
    }),
  };
}

async function noteKey(vkey) { // NAME+ID+KEY
  const [name, id, ...coded] = vkey.split("+");
  const blob = fromBase64(coded.join("+"));
  need(name && blob.length === 33 && (blob[0] === 1 || blob[0] === 4), "a verifier key is none");
  need((await digest(name, "\n", blob)).slice(0, 8) === id, `the id of the verifier key of ${name} is not that of the key`);
  return { name, id, kind: blob[0], raw: blob.slice(1) };
}

async function signedNote(parsed, key) { // a signature by a known key that does not verify refuses the whole note
  const one = parsed.signatures.find((found) => found.name === key.name && found.id === key.id);
  if (!one) return null;
  let signed = utf8.encode(parsed.note), value = one.value, time = null;
  if (key.kind === 4) {
    need(value.length === 72, "a cosignature is cut");
    time = new DataView(value.buffer, value.byteOffset, 8).getBigUint64(0);
    signed = joined(`cosignature/v1\ntime ${time}\n`, signed);
    value = value.slice(8);
  }
  need(await verifies(key.raw, value, signed), `the signature of ${key.name} under the checkpoint does not verify`);
  return { time };
}

const named = async (id) => (utf8.encode(id).length <= 1024 && !/^sha256:[0-9a-f]{64}$/.test(id) ? id : `sha256:${await digest(utf8.encode(id))}`);
const aboutLeaf = () => ({ schema: "hearth.log-leaf/1", origin: data.proof.origin, ledger_id: entries[0].details.ledger_id });

async function logLeaf() {
  const proof = proofOfLog(), record = data.record, sealed = entries[entries.length - 1];
  const leaf = {
    ...aboutLeaf(), kind: "execution_sealed", at: sealed.timestamp, execution_id: await named(record.execution_id),
    execution_hash: await recordHash(), entries: entries.length, status: record.status,
  };
  need(canonical(leaf) === proof.leaf, "the leaf in the file is not the one of this record");
  return `the leaf of ${record.execution_id} in ${proof.origin}`;
}

async function included(parsed, leaf) {
  need(parsed.index < parsed.size, "the proof is for an entry that the log does not have");
  need(parsed.hashes.every((one) => one.length === 32), "a hash in the proof has not 32 bytes");
  const node = (left, right) => sha256(Uint8Array.of(1), left, right);
  let number = parsed.index, last = parsed.size - 1, hash = await sha256(Uint8Array.of(0), leaf);
  for (const one of parsed.hashes) {
    need(last > 0, "the proof has too many hashes");
    if (number % 2 || number === last) {
      hash = await node(one, hash);
      while (number % 2 === 0 && number !== 0) { number /= 2; last = Math.floor(last / 2); }
    } else hash = await node(hash, one);
    number = Math.floor(number / 2);
    last = Math.floor(last / 2);
  }
  need(last === 0, "the proof has too few hashes");
  need(hex(hash) === hex(parsed.root), "the path does not lead to the root of the checkpoint");
}

async function logInclusion() {
  const proof = proofOfLog(), parsed = parsedProof(proof);
  await included(parsed, proof.leaf);
  const more = await provedLeaves(...OF_A_RUN);
  return `entry ${parsed.index} of ${parsed.size}${more.length ? `, and ${more.length} more of this run` : ""}`;
}

const OF_A_RUN = ["execution_opened", "approval_used", "values_erased"];

async function provedLeaves(...kinds) { // what else the log has of the run, in the same state of it
  const proof = proofOfLog(), state = parsedProof(proof), found = [];
  for (const one of proof.more) {
    need(same(Object.keys(one).sort(byUnits), ["leaf", "proof"]), "a proof has not the form of one");
    const parsed = parsedProof(one), says = JSON.parse(one.leaf);
    need(parsed.note === state.note, "a proof is of another state of the log than the record's");
    need(canonical(says) === one.leaf && says.schema === "hearth.log-leaf/1", "a leaf has not the form of one");
    need(OF_A_RUN.includes(says.kind), `the file has a leaf ${says.kind}, which is none of a run's`);
    if (!kinds.includes(says.kind)) continue;
    await included(parsed, one.leaf);
    need(says.origin === proof.origin && says.ledger_id === entries[0].details.ledger_id, `the ${says.kind} in entry ${parsed.index} is of another ledger`);
    found.push({ index: parsed.index, leaf: one.leaf, says });
  }
  return found;
}

async function logOpening() {
  const sealed = parsedProof(proofOfLog()), found = await provedLeaves("execution_opened");
  if (!found.length) unchecked("the file has no leaf of its opening: it ran before the log was made, or past it");
  const leaf = {
    ...aboutLeaf(), kind: "execution_opened", at: entries[0].timestamp, execution_id: await named(data.record.execution_id),
    first_event_hash: entries[0].event_hash,
  };
  need(found.length === 1 && found[0].leaf === canonical(leaf), "the leaf of the opening is of another run");
  need(found[0].index < sealed.index, "the log was told of the run after its record was sealed");
  return `entry ${found[0].index}, before that of the record`;
}

async function logApproval() {
  const { named: approval, request, decisions, use } = signedForRun(), found = await provedLeaves("approval_used");
  need(found.length > 0, "a log that has the record has the use of its approval, too, and it is not in the file");
  const says = found[0].says, known = new Map();
  for (const one of decisions) known.set(await digest(canonical(one.envelope)), one.says);
  need(known.size === decisions.length, "a decision stands twice in the file");
  const wanted = {
    at: use.used, execution_id: await named(data.record.execution_id), request_id: request.says.request_id,
    request_sha256: await digest(canonical(request.envelope)),
  };
  for (const [name, value] of Object.entries(wanted)) need(says[name] === value, `the log has another approval of this run: ${name} differs`);
  need(found.length === 1, "the file has more than one leaf of the approval's use");
  need(says.decisions.every((one) => known.has(one)), "a decision that was used is not in the file, or was changed");
  const used = says.decisions.map((one) => known.get(one));
  const approvers = used.filter((one) => one.verdict === "approve").map((one) => one.approver);
  for (const name of approval.approvers) need(approvers.includes(name), `the log has no approval by ${name} that was used`);
  const later = Array.from(known).filter(([id]) => !says.decisions.includes(id)).map(([, one]) => one);
  for (const one of later) need(one.created > says.at, `the log does not have the decision of ${one.approver}, which is older than the use`);
  const names = later.map((one) => one.approver).sort(byUnits).join(", ");
  return `entry ${found[0].index}: the request, and ${plural(used.length, "decision")}`
    + (later.length ? `; what ${names} signed came after it was used, and the log does not have it` : "");
}

async function logCheckpoint() {
  const proof = proofOfLog(), parsed = parsedProof(proof), key = await noteKey(proof.log_key);
  need(parsed.origin === proof.origin && key.name === proof.origin, `the checkpoint is of another log: ${parsed.origin}`);
  need(key.kind === 1 && (await signedNote(parsed, key)), `the checkpoint is not signed by the log's key ${key.id}`);
  return `signed by ${key.name} (${key.id}), key id ${await keyId(key.raw)} (the key that is in the file)`
    + (parsed.changed ? "; the log has changed its key before: hearth verify follows that" : "");
}

async function logWitnesses() {
  const parsed = parsedProof(proofOfLog()), { keys, quorum } = data.witnesses;
  const seen = [], raws = new Set();
  need(Number.isInteger(quorum) && quorum >= 0, "how many witnesses are needed is not a number");
  for (const vkey of keys) {
    const key = await noteKey(vkey), found = await signedNote(parsed, key);
    if (!found) continue;
    raws.add(hex(key.raw));
    const when = found.time === null ? "" : ` at ${new Date(Number(found.time) * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
    seen.push(`${key.name}${when}`);
  }
  need(raws.size >= quorum, `${raws.size} of the ${quorum} cosignatures that are needed are there`);
  if (!keys.length) unchecked("no witness is known for this log: that it shows everybody the same history is its owner's word");
  if (!seen.length) unchecked(`none of the ${keys.length} known witnesses has cosigned this checkpoint, and none has to`);
  return `seen by ${seen.join("; ")}`;
}

async function provedErasures() {
  need(Array.isArray(data.erasures), "the erasures are no list");
  if (data.proof === null) return false;
  const known = await Promise.all(data.erasures.map((one) => digest(canonical(one)))), proved = new Set();
  need(new Set(known).size === known.length, "an erasure stands twice in the file");
  for (const one of await provedLeaves("values_erased")) {
    need(known.includes(one.says.erasure_sha256), `the log tells of an erasure (entry ${one.index}) that the file does not`);
    proved.add(one.says.erasure_sha256);
  }
  const left = known.length - proved.size;
  if (left) unchecked(`the log does not have ${left} of the ${known.length} erasures, so it does not say who did that, or when`);
  return known.length > 0;
}

async function erasures() {
  let count = 0;
  for (const erasure of data.erasures) {
    for (const name of ["execution_id", "execution_hash"]) {
      need(erasure[name] === data.record[name], `an erasure is of another record: ${name} differs`);
    }
    for (const one of erasure.erased) {
      need(own(entries, String(one.sequence)), `an erased value at entry ${one.sequence} belongs to no entry`);
      const stays = canonical(at(entries[one.sequence], one.pointer));
      need(one.digest && stays.includes(one.digest), `entry ${one.sequence}${one.pointer} has no commitment of an erased value`);
      count += 1;
    }
  }
  const inLog = await provedErasures();
  if (!count) return "this file says of nothing that it was erased";
  return inLog
    ? `${count} erased; the log has when, why and by whom; every hash holds`
    : `${count} erased; when, why and by whom only this file's signature vouches for; every hash holds`;
}
