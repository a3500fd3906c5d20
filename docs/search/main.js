// Takes the place of MkDocs' own search: that starts a Worker, which browsers refuse to pages from the disk,
// and reads a word that begins with `-` as one to leave out.

const list = document.getElementById("mkdocs-search-results");

/** Returns the sections that have every word of a query, those with a word in their heading first. */
function find(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const rank = ({title, text}) => {
    const [heading, body] = [title.toLowerCase(), text.toLowerCase()];
    if (!words.length || !words.every((word) => heading.includes(word) || body.includes(word))) return 0;
    return 1 + words.filter((word) => heading.includes(word)).length;
  };
  return sections
    .map((section) => ({...section, rank: rank(section), at: section.text.toLowerCase().indexOf(words[0])}))
    .filter((section) => section.rank)
    .sort((one, other) => other.rank - one.rank);
}

function show(query) {
  list.replaceChildren(
    ...find(query).map(({location, title, page, text, at}) => {
      const [article, heading, link, extract] = ["article", "h3", "a", "p"].map((tag) => document.createElement(tag));
      link.href = `${base_url}/${location}`;
      link.textContent = title === page ? title : `${page}: ${title}`;
      heading.append(link);
      extract.textContent = text.slice(Math.max(0, at - 80), Math.max(0, at) + 160);
      article.append(heading, extract);
      return article;
    }),
  );
  if (!list.childElementCount) list.textContent = list.dataset.noResultsText;
}

if (list) {
  const input = document.getElementById("mkdocs-search-query");
  const index = document.createElement("script");
  index.src = `${base_url}/search/sections.js`;
  index.onload = () => {
    input.addEventListener("input", () => show(input.value));
    input.value = new URLSearchParams(window.location.search).get("q") ?? "";
    show(input.value);
  };
  document.head.append(index);
}
