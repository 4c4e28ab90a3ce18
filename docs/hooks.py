"""What the site is made of besides the pages in this folder.

* every notebook, executed, as a tutorial page: prose, code, output, figures;
* one reference page per module, from its docstrings;
* the reports that live elsewhere in the repository (`REPORTS`, `MEASURED`), as soon as they are written;
* formulas as MathML, so that no page needs a script for them.
"""

from __future__ import annotations

import ast
import base64
import html
import posixpath
import re
import sys
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import to_markdown

ROOT = Path(__file__).resolve().parents[1]
REPORTS = {"VALIDATION.md": "Validation", "RELIABILITY.md": "Reliability", "benchmarks/FINDINGS.md": "Findings"}
REPORTS["benchmarks/PERFORMANCE.md"] = "Performance"
MEASURED = "benchmarks/results"  # one report per benchmark: files are about performance, folders about other results
PERFORMANCE = "results/performance.md"  # the list of the former
TITLES = {  # in the menu, where the report's heading says too little
    "lra": "Accuracy by task and model",
    "deviation": "Accuracy with other constants",
    "sensitivity": "Sensitivity of the constants",
    "sweep": "What a sweep costs",
}
PACKAGES = {  # rooms in the order of the pipeline; a room's modules follow in the order of reading
    "astro_sim": {
        "parameters": "units tables presets variants",
        "models": "equations astrocytes synapses topology",
        "protocols": "protocol trains pairing pulses plotting",
        "dynamics": "vector_fields fixed_points limit_cycles bifurcations closed_forms",
        "simulation": "arguments initial description astrocytes synapses network run recording",
        "rate_networks": "macro naam",
        "curves": "forms curve format least_squares fit measured plotting files console",
        "derivations": "experiment ltp stp standard provenance verify network_constants sensitivity",
        "sweeps": "sweep conditions run folder",
        "validation": "targets calcium release gliotransmission plasticity astrocytes",
        "figures": "plots pages explorer",
        "recordings": "traces events",
    },
    "rmaat": {
        "config": "",
        "data": "",
        "kernels": "switch functions write read tiles",
        "layers": "projection reference attention synapses softmax state_space scans block",
        "memory": "retention update segments replay",
        "models": "constants rmaat baselines zoo pretrained minimal",
        "tasks": "dataset batching files.task files.tables files.tokenizers files.series files.splits recall"
        " association listops images text lra.release lra.downloads lra.check"
        " pathfinder.task pathfinder.contours pathfinder.dashes",
        "training": "config optimiser run_folder evaluation machine train prediction",
        "report": "trace figures plots page",
        "experiments": "arena variants results recall recall_grid runner bench timing"
        " astrocyte.grid astrocyte.stack astrocyte.schedule astrocyte.analysis",
    },
}
CONSTANTS = ("astro_sim.models.equations", "astro_sim.parameters.presets")  # what one looks for are their values
SHOW_ALL = (
    '    options:\n      show_if_no_docstring: true\n      filters: ["!^_", "!Parameters$", "!^(tables|variant)$"]\n'
)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)
WORD = re.compile(r"_\{(eff|pre|post|thr|th|SIC|gjc|lin|ex)\}")  # subscripts that are words: upright, in one piece
TABLE = re.compile(r"<table>.*?</table>", re.S)
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)")


def on_config(config):
    """Fill the navigation with the pages that `on_files` makes."""
    filled = {
        "Tutorials": [{title_of(path): tutorial(path)} for path in notebooks()],
        "Results": results(),
        "Reference": ["reference/index.md", *({package: reference_pages(package)} for package in PACKAGES)],
    }
    config.nav = [{title: filled.get(title, page) for title, page in entry.items()} for entry in config.nav]
    return config


def on_files(files, config):
    """Add tutorials, reference pages and reports to the site."""

    def add(path, content):
        files.append(File.generated(config, path, content=content))

    for path in notebooks():
        page, figures = notebook_page(path)
        add(tutorial(path), page)
        for name, picture in figures.items():
            add(f"tutorials/{name}", picture)
    for package in PACKAGES:
        for page in reference_pages(package):
            module = page.removeprefix("reference/").removesuffix(".md")
            add(page, reference_page(module))
    if performance():
        add(PERFORMANCE, performance_page())
    for source, page in reports().items():
        text, pictures = report_page(source)
        add(page, text)
        for name, picture in pictures.items():
            add(name, picture)
    return files


def on_page_markdown(markdown, page, config, files):
    """List the modules on the first page of the reference; links to a report are words until it has been written."""
    if page.file.src_uri == "reference/index.md":
        markdown += "".join(module_list(package) for package in PACKAGES)
    missing = {page_of(ROOT / name) for name in REPORTS if not (ROOT / name).exists()}
    missing |= set() if performance() else {PERFORMANCE}
    for path in missing:
        markdown = re.sub(rf"\[([^\]]+)\]\([./]*{path}\)", r"\1", markdown)
    return markdown


def on_page_content(content, page, config, files):
    """Turn LaTeX into MathML."""

    def mathml(match):
        kind = "block" if match[1] == "div" else "inline"
        return convert(WORD.sub(r"_{\\text{\1}}", html.unescape(match[2]).strip()), display=kind)

    return TABLE.sub(r'<div class="wide">\g<0></div>', FORMULA.sub(mathml, content))


def on_post_build(config):
    """Take the theme's two dormant links to a script server out of its bundle."""
    for path in Path(config.site_dir, "assets/javascripts").glob("bundle.*.js*"):
        path.write_text(path.read_text().replace("https://unpkg.com/", "vendored/"))


# ---------------------------------------------------------------------------------------------------------------------
# Reference
# ---------------------------------------------------------------------------------------------------------------------


def reference_pages(package: str) -> list[str]:
    """One page per room and per module: those listed in `PACKAGES` in their order, then any other."""
    rooms = PACKAGES[package].items()
    listed = [name for room, files in rooms for name in (room, *(f"{room}.{file}" for file in files.split()))]
    paths = [path.relative_to(ROOT / package).with_suffix("") for path in (ROOT / package).rglob("*.py")]
    found = {".".join(path.parts).removesuffix(".__init__") for path in paths} - {"__init__", "__main__"}
    order = [name for name in listed if name in found] + sorted(found - set(listed))
    return [f"reference/{package}.{name}.md" for name in order]


def module_list(package: str) -> str:
    """A package's modules with the first sentence of each."""
    rows = []
    for page in reference_pages(package):
        name = page.removeprefix("reference/").removesuffix(".md")
        path = ROOT / name.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        first = (ast.get_docstring(ast.parse(source.read_text())) or "").split("\n")[0]
        rows.append(f"| [{name.split('.', 1)[1]}]({name}.md) | {to_markdown(first)} |")
    return f"\n\n## {package}\n\n| Module | |\n|---|---|\n" + "\n".join(rows)


def reference_page(module: str) -> str:
    """The page of one module; the menu shows its name without the package."""
    options = SHOW_ALL if module in CONSTANTS else ""
    return f"---\ntitle: {module.split('.', 1)[1]}\n---\n\n# {module}\n\n::: {module}\n{options}"


# ---------------------------------------------------------------------------------------------------------------------
# Notebooks
# ---------------------------------------------------------------------------------------------------------------------


def notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def tutorial(path: Path) -> str:
    return f"tutorials/{path.stem}.md"


def title_of(path: Path) -> str:
    """The notebook's first heading."""
    first = nbformat.read(path, as_version=4).cells[0].source
    return first.splitlines()[0].lstrip("# ")


def notebook_page(path: Path) -> tuple[str, dict[str, bytes]]:
    """An executed notebook as Markdown, with its figures by file name."""
    blocks, figures = [], {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            blocks.append(cell.source.replace("](../docs/", "](../"))
        elif cell.cell_type == "code":
            blocks.append(f"```python\n{cell.source}\n```")
            for output in merged(cell.outputs):
                blocks.append(output_block(output, f"{path.stem}_{len(figures)}.png", figures))
    blocks.append(f"*This page is `notebooks/{path.name}` as it was executed. Open it in JupyterLab to change it.*")
    return "\n\n".join(block for block in blocks if block), figures


def merged(outputs) -> list:
    """The outputs of a cell, with what was printed line by line in one piece."""
    result = []
    for output in outputs:
        last = result[-1] if result else {}
        if output.get("name") == "stdout" == last.get("name"):
            last["text"] += output["text"]
        else:
            result.append(output)
    return result


def output_block(output, name: str, figures: dict[str, bytes]) -> str:
    """One output: a figure, a table, or text."""
    if output.output_type == "stream":
        return "" if output.name == "stderr" else text_block(output.text)
    data = output.get("data", {})
    if "image/png" in data:
        figures[name] = base64.b64decode(data["image/png"])
        return f"![figure]({name})"
    if "text/markdown" in data:
        return data["text/markdown"]
    return text_block(data.get("text/plain", ""))


def text_block(text: str) -> str:
    return f"```{{.text .output}}\n{text.rstrip()}\n```" if text.strip() else ""


# ---------------------------------------------------------------------------------------------------------------------
# Reports
# ---------------------------------------------------------------------------------------------------------------------


def page_of(source: Path) -> str:
    name = source.parent.name if source.stem == "README" else source.stem
    return f"results/{name.lower()}.md"


def measured() -> dict[Path, str]:
    """The reports of the benchmarks, each with its title: that of the menu, its heading, or its name."""
    found = {}
    for path in sorted((ROOT / MEASURED).rglob("*.md")):
        name, heading = Path(page_of(path)).stem, re.match(r"# (.+)", path.read_text())
        found[path] = TITLES.get(name) or (heading[1] if heading else name.capitalize())
    return found


def performance() -> dict[Path, str]:
    """Those about time and memory."""
    return {path: title for path, title in measured().items() if path.parent == ROOT / MEASURED}


def reports() -> dict[Path, str]:
    """The reports that have been written, each with its page."""
    named = [ROOT / name for name in REPORTS if (ROOT / name).exists()]
    return {source: page_of(source) for source in (*named, *measured())}


def results() -> list[dict]:
    """The menu of the reports."""
    menu = [{title: page_of(ROOT / name)} for name, title in REPORTS.items() if (ROOT / name).exists()]
    menu += [{title: page_of(path)} for path, title in measured().items() if path not in performance()]
    pages = [{title: page_of(path)} for path, title in performance().items()]
    return [*menu, {"Performance": [PERFORMANCE, *pages]}] if pages else menu


def performance_page() -> str:
    """A list of what was measured."""
    rows = [f"- [{title}]({posixpath.basename(page_of(path))})" for path, title in performance().items()]
    return "# Performance\n\nWhat was measured, by which command and on which machine:\n\n" + "\n".join(rows)


def report_page(source: Path) -> tuple[str, dict[str, bytes]]:
    """A report of the repository as a page: its pictures come along, links to other files become their names."""
    pictures = {}

    def relink(match):
        mark, text, target = match.groups()
        path = (source.parent / target.split("#")[0]).resolve()
        if mark and path.is_file():
            picture = page_of(source).replace(".md", f"-{path.name}")  # two reports may each have a picture of a name
            pictures[picture] = path.read_bytes()
            return f"![{text}]({posixpath.basename(picture)})"
        return f"[{text}]({posixpath.basename(page_of(path))})" if path in reports() else text

    return LINK.sub(relink, source.read_text()), pictures
