// A click on a column's name sorts its table; numbers as numbers, what is undefined last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => compare(a, b, column) * (descending ? -1 : 1)));
    });
  });
}

function compare(a, b, column) {
  const [left, right] = [a, b].map((row) => row.cells[column].textContent.trim());
  const [x, y] = [left, right].map(parseFloat);
  if (Number.isNaN(x) || Number.isNaN(y)) return left.localeCompare(right);
  return x - y;
}
