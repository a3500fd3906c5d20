// Shows the runs that have the text of the filter, and sorts them by the column whose head is clicked.
(() => {
  const table = document.querySelector(".runs");
  const rows = [...table.tBodies];
  document.getElementById("filter").addEventListener("input", ({ target }) => {
    const words = target.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  });
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.tabIndex = 0;
    head.addEventListener("keydown", ({ key }) => key === "Enter" && head.click());
    head.addEventListener("click", () => {
      const down = head.ariaSort !== "descending";
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      head.ariaSort = down ? "descending" : "ascending";
      const value = (row) => row.rows[0].cells[column].dataset.value ?? row.rows[0].cells[column].textContent;
      const compare = (a, b) => value(a).localeCompare(value(b), "en", { numeric: true });
      rows.sort((a, b) => (down ? -1 : 1) * compare(a, b));
      table.append(...rows);
    });
  });
})();
