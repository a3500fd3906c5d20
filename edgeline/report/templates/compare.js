// Holds two of the runs that are embedded in this page side by side.
(() => {
  const room = document.getElementById("compare");
  const { runs, sections } = JSON.parse(room.querySelector("script").textContent);
  const picks = [...room.querySelectorAll("select")];
  const percent = (share) => (100 * share).toFixed(1);

  function add(parent, tag, text, kind) {
    const made = parent.appendChild(document.createElement(tag));
    made.textContent = text;
    made.className = kind ?? "";
    return made;
  }

  // The interval of a difference of two shares (Newcombe, 1998, method 10), as report/compare.py has it.
  function verdict([a, aLow, aHigh], [b, bLow, bHigh]) {
    if (b > a) return b - a > Math.hypot(b - bLow, aHigh - a) ? "better" : "within noise";
    return a - b > Math.hypot(a - aLow, bHigh - b) ? "worse" : "within noise";
  }

  function show() {
    const [first, second] = picks.map((pick) => runs[pick.selectedIndex]);
    const table = document.createElement("table");
    table.className = "changes both";
    const head = add(table.createTHead(), "tr", "");
    ["", "First", "Second"].forEach((text) => add(head, "th", text));
    const body = table.createTBody();
    const line = (what, a, b, said, kind) => {
      const row = add(body, "tr", "", "other");
      add(row, "th", what);
      add(row, "td", a ?? "–");
      add(add(row, "td", b ?? "–"), "span", said ? ` ${said}` : "", kind);
    };
    const title = (text) => (add(add(body, "tr", "", "part"), "th", text).colSpan = 3);
    const names = (of) => [...new Set([first, second].flatMap((run) => Object.keys(of(run))))];
    line("Outcome", first.outcome, second.outcome);
    title("Each model on its own eval split, with 95 % confidence intervals");
    for (const name of names((run) => run.slices)) {
      const [a, b] = [first, second].map((run) => run.slices[name]);
      const texts = [a, b].map((it) => it && `${percent(it[0])} %, ${percent(it[1])} to ${percent(it[2])}`);
      const said = a && b ? verdict(a, b) : "";
      line(name, ...texts, said, { better: "better", worse: "drifted" }[said] ?? "muted");
    }
    for (const section of sections) {
      const of = (run) => run.said[section] ?? {};
      const lines = names(of).filter((what) => of(first)[what] !== of(second)[what]);
      if (lines.length) title(section);
      lines.forEach((what) => line(what, of(first)[what], of(second)[what]));
    }
    room.querySelector(".scroll").replaceChildren(table);
  }

  picks.forEach((pick, number) => {
    runs.forEach((run) => add(pick, "option", `${run.name}, ${run.outcome}`));
    pick.selectedIndex = 1 - number; // the newest beside the one before it
    pick.onchange = show;
  });
  show();
})();
