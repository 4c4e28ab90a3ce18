"""The documentation builds, loads nothing from elsewhere, links to what exists, and its code runs."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$", re.S | re.M)
NOT_RUN = re.compile(r"^# not run in the tests: \S+.+", re.M)  # stands in the block itself, where a reader sees it
LOADING = {tag: "src" for tag in ("script", "img", "iframe", "source", "audio", "video")} | {"link": "href"}


def name(page):
    return str(page.relative_to(ROOT))


def blocks(page, *languages):
    return [match["code"] for match in FENCE.finditer(page.read_text()) if match["language"] in languages]


def test_every_test_that_the_reliability_page_names_exists():
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "RELIABILITY.md").read_text())
    missing = [test for path, test in named if f"def {test}(" not in (ROOT / path).read_text()]
    assert len(named) > 20 and missing == []


def test_the_reliability_page_has_the_licence_of_every_direct_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {Requirement(text).name for text in project["dependencies"] + project["optional-dependencies"]["dev"]}
    page = (ROOT / "RELIABILITY.md").read_text()
    assert {name for name in names if f"`{name}`" not in page} == set()


# ---------------------------------------------------------------------------------------------------------------------
# The site
# ---------------------------------------------------------------------------------------------------------------------


class Links(HTMLParser):
    """Identifiers, links and loaded files of a page."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded = set(), [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        elif values.get(LOADING.get(tag)):
            self.loaded.append(values[LOADING[tag]])
            self.loaded += [part.split()[0] for part in (values.get("srcset") or "").split(",") if part.strip()]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `make docs` builds it; a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Links(path) for path in site.rglob("*.html")}


@pytest.mark.slow
def test_site_loads_nothing_from_elsewhere(site, pages):
    foreign = [(path.name, address) for path, page in pages.items() for address in page.loaded if "//" in address]
    assert not foreign
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", style.read_text()), style
    servers = re.compile(r"https?://[^\s\"'`]*(?:unpkg|jsdelivr|cdnjs|googleapis|gstatic|mathjax|polyfill)[^\s\"'`]*")
    for script in [*site.rglob("*.js"), *site.rglob("*.html")]:
        assert not servers.findall(script.read_text()), script


@pytest.mark.slow
def test_every_link_inside_the_site_leads_somewhere(site, pages):
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for address in {*page.links, *page.loaded}:
            parts = urlsplit(address)
            if parts.scheme or address.startswith("//"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (parts.fragment and target in pages and parts.fragment not in pages[target].ids):
                broken.append((path.name, address))
    assert not broken


@pytest.mark.slow
def test_formulas_are_mathml_and_every_notebook_is_a_tutorial(site):
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        page = (site / "tutorials" / f"{notebook.stem}.html").read_text()
        assert "<math" in page and "arithmatex" not in page and "<img" in page
    assert "arithmatex" not in (site / "equations.html").read_text()


@pytest.mark.slow
def test_reference_has_a_page_for_every_module(site):
    for package in ("astro_sim", "rmaat"):
        for module in (ROOT / package).rglob("*.py"):
            parts = module.relative_to(ROOT).with_suffix("").parts
            if not parts[-1].startswith("__"):
                assert (site / "reference" / f"{'.'.join(parts)}.html").exists()


# ---------------------------------------------------------------------------------------------------------------------
# The code in it
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_python_blocks_run_in_the_order_of_the_page(page, tmp_path):
    code = [block for block in blocks(page, "python") if not NOT_RUN.match(block)]
    (tmp_path / "page.py").write_text("\n".join(code))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::FutureWarning", "page.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_block_that_is_not_run_says_why_in_its_first_line(page):
    for block in blocks(page, "python"):
        compile(block, name(page), "exec")
        assert bool(NOT_RUN.match(block)) == ("not run in the tests" in block)


@cache
def options_of(*command):
    """Long options of a command of ours, from its help."""
    module = {"rmaat": "rmaat", "astro-sim": "astro_sim"}[command[0]]
    run = [sys.executable, "-m", module, *command[1:], "--help"]
    environment = os.environ | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(run, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"--[a-z0-9][a-z0-9.-]*", done.stdout))


def commands(page):
    """Command lines of ours in the page's shell blocks: program, subcommands, long options."""
    for block in blocks(page, "bash", "sh", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            start = next((k for k, word in enumerate(words) if Path(word).name in ("rmaat", "astro-sim")), None)
            if start is None:
                continue
            rest = words[start + 1 :]
            subcommand = [word for word in rest[:1] if not word.startswith("-")]
            if subcommand in (["data"], ["bench"]) and len(rest) > 1:
                subcommand = rest[:2]
            yield Path(words[start]).name, tuple(subcommand), {word.split("=")[0] for word in rest if word[:2] == "--"}


def test_torchrun_hands_our_options_on():
    """It knows options that begin like ours and would take `--run` for one of them."""
    from torch.distributed.run import get_args_parser

    lines = [line for page in PAGES for block in blocks(page, "bash") for line in block.splitlines()]
    launches = [shlex.split(line)[1:] for line in lines if line.startswith("torchrun ")]
    assert launches
    for words in launches:
        parsed = get_args_parser().parse_args(words)
        assert (parsed.module, parsed.training_script) == (True, "rmaat")
        assert parsed.training_script_args == words[words.index("rmaat") + 1 :]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if list(commands(page))], ids=name)
def test_command_lines_in_the_pages_have_the_options_that_they_use(page):
    for program, subcommand, used in commands(page):
        assert used - {"--help", "--debug"} <= options_of(program, *subcommand), (program, subcommand)
