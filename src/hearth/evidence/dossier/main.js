// The verifier's end: it makes the checks one after the other, and says on the page what came out.

const CHECKS = {
  "data.bytes": dataBytes, "data.canonical": dataCanonical, "data.signature": dataSignature, "page.values": pageValues,
  "record.entries": recordEntries, "record.chain": recordChain, "record.fields": recordFields, "record.hash": recordHash,
  "plan.copy": planCopy, "approval.signatures": approvalSignatures, "approval.binding": approvalBinding, manifests,
  "rollback.plan": rollbackPlan, "log.leaf": logLeaf, "log.inclusion": logInclusion, "log.checkpoint": logCheckpoint,
  "log.opening": logOpening, "log.approval": logApproval, "log.witnesses": logWitnesses, erasures,
};
const WORDS = { holds: "Holds", fails: "Fails", unchecked: "Not checked" };

function tell(item, finding, says) {
  item.dataset.finding = finding;
  item.querySelector(".finding").textContent = WORDS[finding];
  item.querySelector(".says").textContent = says.replace(hidden, escape);
}

async function check(work) {
  try {
    return ["holds", await work()];
  } catch (error) {
    if (error instanceof Unchecked) return ["unchecked", error.message];
    return ["fails", error instanceof Error && error.message ? error.message : "it cannot be checked: the data have not the form of a dossier's"];
  }
}

function conclude(counts, total) {
  const { holds = 0, fails = 0, unchecked: left = 0 } = counts;
  const whole = fails === 0 && holds + left === total && holds > 0 && data !== undefined && crypt;
  const verdict = fails ? "fails" : !whole ? "unchecked" : left ? "partly" : "holds";
  const rest = left ? ` ${left} of ${total} could not be made; each says why.` : "";
  const words = {
    fails: ["Do not rely on this file", `${fails} of ${total} checks fail.${rest}`],
    unchecked: ["Not checked", "This browser cannot make the checks. Use hearth verify."],
    partly: ["What can be checked here holds", `${holds} of ${total} checks hold, none fails.${rest}`],
    holds: ["Everything holds", `All ${total} checks hold.`],
  }[verdict];
  element("verdict-word").textContent = words[0];
  element("verdict-says").textContent = words[1];
  element("verdict").dataset.verdict = verdict;
  element("verdict").setAttribute("aria-busy", "false");
  document.documentElement.dataset.verdict = verdict;
}

async function main() {
  const counts = {};
  const items = Array.from(document.querySelectorAll("[data-check]"));
  let broken = items.length !== Object.keys(CHECKS).length;
  try { await tryCrypto(); } catch { broken = true; }
  for (const [name, work] of Object.entries(CHECKS)) {
    const item = items.find((one) => one.dataset.check === name);
    let [finding, says] = name !== "data.bytes" && name !== "data.canonical" && data === undefined
      ? ["fails", "the data cannot be read"] : await check(work);
    if (broken && finding === "holds") [finding, says] = ["fails", "the checks of this page are not complete"];
    counts[finding] = (counts[finding] || 0) + 1;
    if (item) tell(item, finding, says);
  }
  conclude(counts, Object.keys(CHECKS).length);
}

function offerData() {
  const button = element("save");
  button.hidden = false;
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    const place = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.href = place;
    link.download = "dossier.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(place), 1000);
  });
  const raw = element("raw");
  raw.addEventListener("toggle", () => { // once: it may be large
    if (raw.open) element("raw-text").textContent = text.replace(hiddenInLines, escape);
  }, { once: true });
}

let openedForPrint = [];
addEventListener("beforeprint", () => {
  openedForPrint = Array.from(document.querySelectorAll("details[data-print]:not([open])"));
  for (const one of openedForPrint) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of openedForPrint.splice(0)) one.open = false;
});
offerData();
main();
