// The verifier of a dossier, its first half: canonical JSON, hashes, signatures, and how values are shown.
// It believes nothing on the page, reads the embedded data, asks nobody, and sends nothing.

class Unchecked extends Error {}
const utf8 = new TextEncoder();
const element = (id) => document.getElementById(id);
const own = (value, key) => Object.prototype.hasOwnProperty.call(value, key);
const need = (truth, why) => { if (!truth) throw new Error(why); };
const unchecked = (why) => { throw new Unchecked(why); };
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const plural = (count, word) => `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;

// --- canonical JSON (RFC 8785)

const byUnits = (one, other) => (one < other ? -1 : one > other ? 1 : 0); // JavaScript compares UTF-16 code units

function canonical(value) {
  if (value === null || typeof value !== "object") {
    need(typeof value !== "number" || Number.isFinite(value), "a number is beyond all numbers");
    const exact = !Number.isInteger(value) || Number.isSafeInteger(value) || Math.abs(value) >= 1e21; // then with an exponent
    need(exact, "a whole number is beyond ±(2^53 - 1), and other programs would read another one");
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  return `{${Object.keys(value).sort(byUnits).map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

const same = (one, other) => canonical(one) === canonical(other);
const without = (value, ...keys) => Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)));
const unit = (text, width) => `\\u${text.charCodeAt(0).toString(16).padStart(width, "0")}`;
const embedded = (value) => canonical(value).replace(/[<>&\u2028\u2029]/g, (one) => unit(one, 4));

// --- bytes, hashes, signatures

const hex = (bytes) => Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
const joined = (...parts) => {
  const all = parts.map((part) => (typeof part === "string" ? utf8.encode(part) : part));
  const bytes = new Uint8Array(all.reduce((sum, part) => sum + part.length, 0));
  all.reduce((place, part) => { bytes.set(part, place); return place + part.length; }, 0);
  return bytes;
};

function fromBase64(text) {
  need(typeof text === "string" && /^[A-Za-z0-9+/]*={0,2}$/.test(text), "a text is not base64");
  const raw = atob(text);
  need(btoa(raw) === text, "a text is not written as base64 is");
  return Uint8Array.from(raw, (one) => one.charCodeAt(0));
}

const crypt = globalThis.crypto && globalThis.crypto.subtle;
let knowsEd25519 = false;

async function sha256(...parts) {
  if (!crypt) unchecked("this browser gives pages no WebCrypto here; open the file from a disk, or use hearth verify");
  return new Uint8Array(await crypt.digest("SHA-256", joined(...parts)));
}
const digest = async (...parts) => hex(await sha256(...parts));

async function verifies(key, signature, data) {
  if (!knowsEd25519) unchecked("this browser cannot verify Ed25519; take a newer one, or use hearth verify");
  const known = await crypt.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  return crypt.verify({ name: "Ed25519" }, known, signature, data);
}

async function tryCrypto() { // SHA-256 of "abc"; RFC 8032, section 7.1, test 1
  if (!crypt) return;
  need((await digest("abc")).startsWith("ba7816bf8f01cfea"), "this browser's SHA-256 is none");
  try {
    const key = fromBase64("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    const value = fromBase64("5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw==");
    const known = await crypt.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
    knowsEd25519 = await crypt.verify({ name: "Ed25519" }, known, value, new Uint8Array());
  } catch { knowsEd25519 = false; }
}

function publicKey(text) {
  need(typeof text === "string" && text.startsWith("ed25519:"), "a text is no public key");
  const raw = fromBase64(text.slice(8));
  need(raw.length === 32, "a public key has not 32 bytes");
  return raw;
}

const keyId = async (raw) => `${(await digest(raw)).slice(0, 16)}…`;

function parsedEnvelope(envelope) {
  need(isObject(envelope) && same(Object.keys(envelope).sort(), ["payload", "payloadType", "signatures"]), "an envelope has not the form of one");
  need(Array.isArray(envelope.signatures) && envelope.signatures.length > 0, "an envelope has no signature");
  need(envelope.signatures.length <= 64, "an envelope has more than 64 signatures");
  const payload = fromBase64(envelope.payload);
  const kind = utf8.encode(envelope.payloadType);
  const signed = joined(`DSSEv1 ${kind.length} `, kind, ` ${payload.length} `, payload); // the encoding that is signed
  const signatures = envelope.signatures.map((one) => {
    need(isObject(one) && Object.keys(one).every((name) => name === "sig" || name === "keyid"), "a signature of an envelope has other members");
    need(!own(one, "keyid") || typeof one.keyid === "string", "a keyid of an envelope is not a text");
    return { keyid: own(one, "keyid") ? one.keyid : "", value: fromBase64(one.sig) };
  });
  return { payload: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload), kind: envelope.payloadType, signed, signatures };
}

async function signedBy(envelope, raw) {
  for (const one of envelope.signatures) if (await verifies(raw, one.value, envelope.signed)) return true;
  return false;
}

// --- the words that values are shown in: those of hearth's own _dossier_show.py

const HIDDEN = "\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u00a0\\u00ad\\u034f\\u061c\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f\\u2000-\\u200f"
  + "\\u2028-\\u202f\\u205f-\\u206f\\u2800\\u3000\\u3164\\ud800-\\udfff\\ufe00-\\ufe0d\\ufeff\\uffa0\\ufff0-\\ufffb\\u{e0000}-\\u{e0fff}";
const hidden = new RegExp(`[\\t\\n${HIDDEN}]`, "gu");
const hiddenInLines = new RegExp(`[${HIDDEN}]`, "gu");
const TIME = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.(\d{3})\d{3}Z$/;
const escape = (one) => {
  const number = one.codePointAt(0);
  if (one === "\n") return "\\n";
  if (one === "\t") return "\\t";
  return number < 0x10000 ? `\\u${number.toString(16).padStart(4, "0")}` : `\\U${number.toString(16).padStart(8, "0")}`;
};
function grouped(number) { return String(number).replace(/\B(?=(\d{3})+$)/g, ","); }

function milliseconds(count) {
  if (count < 1000) return `${count} ms`;
  if (count < 60000) return `${Math.floor(count / 1000)}.${String(count % 1000).padStart(3, "0")} s`;
  if (count < 3600000) return `${Math.floor(count / 60000)} min ${Math.floor((count % 60000) / 1000)} s`;
  return `${grouped(Math.floor(count / 3600000))} h ${Math.floor((count % 3600000) / 60000)} min`;
}

function span(count) {
  if (count < 0) return String(count);
  return count < 1000 ? `${count} µs` : milliseconds(Math.floor(count / 1000));
}

function offset(value, start) {
  const apart = Date.parse(`${value.slice(0, 23)}Z`) - Date.parse(`${start.slice(0, 23)}Z`);
  if (Number.isNaN(apart)) return value;
  return apart >= 0 ? `+${milliseconds(apart)}` : `-${milliseconds(-apart)}`;
}

function pretty(value, depth = 0) {
  const inner = "  ".repeat(depth + 1), outer = "  ".repeat(depth);
  if (Array.isArray(value) && value.length) {
    return `[\n${value.map((item) => inner + pretty(item, depth + 1)).join(",\n")}\n${outer}]`;
  }
  if (!isObject(value) || !Object.keys(value).length) return canonical(value);
  const lines = Object.keys(value).sort(byUnits).map((key) => `${inner}${JSON.stringify(key)}: ${pretty(value[key], depth + 1)}`);
  return `{\n${lines.join(",\n")}\n${outer}}`;
}

function shown(value, how, start) {
  if (how === "json") return pretty(value).replace(hiddenInLines, escape);
  if (value === null) return "—";
  if (how === "count") return typeof value === "object" ? grouped(Object.keys(value).length) : "?";
  if (typeof value === "string") {
    if (how === "block") return value.replace(hiddenInLines, escape);
    const time = TIME.exec(value);
    if (how === "time" && time) return `${time[1]} ${time[2]}.${time[3]} UTC`;
    if (how === "offset" && time && TIME.test(start)) return offset(value, start);
    let text = how === "word" ? value.replaceAll("_", " ") : value;
    if (how === "short" && Array.from(text).length > 12) text = `${Array.from(text).slice(0, 12).join("")}…`;
    return text.replace(hidden, escape);
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (how === "span" && Number.isInteger(value)) return span(value);
  if (how === "size" && Number.isInteger(value)) return `${grouped(value)} ${value === 1 ? "byte" : "bytes"}`;
  return canonical(value).replace(hidden, escape);
}

const unescaped = (part) => part.replaceAll("~1", "/").replaceAll("~0", "~");
const lastKey = (pointer) => unescaped(pointer.slice(pointer.lastIndexOf("/") + 1));

function at(tree, pointer) {
  return pointer.split("/").slice(1).reduce((value, part) => {
    const key = unescaped(part);
    need(value !== null && typeof value === "object" && own(value, key), `the data have nothing at ${pointer}`);
    return value[key];
  }, tree);
}
