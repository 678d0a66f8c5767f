"""The manual: every page opens, every link leads somewhere, and its figures are the site's own."""

import ast
import re
from html import escape

import pytest
from django.conf import settings
from django.urls import reverse

from accounts.models import Plan
from playground import docs, reference
from runner.figures import GROUPS, figures
from tests.factories import make_user

pytestmark = pytest.mark.django_db

PAGES = [*docs.slugs(), reference.SLUG]


@pytest.mark.parametrize("slug", PAGES)
def test_page_opens_and_its_links_lead_somewhere(client, slug):
    response = client.get(docs.url_of(slug))
    page = response.content.decode()
    assert response.status_code == 200
    assert page.count("<h1") == 1
    article = page[page.index("<article") : page.index("</article>")]
    for target in set(re.findall(r'href="([^"]+)"', article)):
        if target.startswith("https://"):
            continue
        address, _, anchor = target.partition("#")
        found = client.get(address) if address else response
        assert found.status_code in (200, 302), target
        if anchor:
            assert f'id="{anchor}"' in found.content.decode(), target


@pytest.mark.parametrize("slug", PAGES)
def test_page_has_neither_inline_style_nor_script(client, slug):
    page = client.get(docs.url_of(slug)).content.decode()
    assert ' style="' not in page  # with quotes, which code that is shown has not
    assert not re.findall(r"<script(?![^>]*\ssrc=)", page)


@pytest.mark.parametrize("address", ["nothing-here", "../settings", "index.md", "%2e%2e/README", "a/b"])
def test_an_address_that_is_no_page_is_not_found(client, address):
    assert client.get("/docs/" + address).status_code == 404


def test_index_has_one_address(client):
    assert client.get("/docs/index")["Location"] == reverse("playground:docs")
    assert client.get("/docs/limits/")["Location"] == "/docs/limits"


def test_limits_are_read_from_the_plans(client):
    plan = Plan.objects.for_guests()
    Plan.objects.filter(pk=plan.pk).update(cpu_seconds=7_654, name="Visitors <b>")
    page = client.get(docs.url_of("limits")).content.decode()
    assert "7\u202f654" in page
    assert "Visitors &lt;b&gt;" in page


def test_the_plan_of_the_reader_is_marked(client):
    guests = client.get(docs.url_of("limits")).content.decode()
    user = make_user()
    client.force_login(user, backend="accounts.backends.AccountBackend")
    own = client.get(docs.url_of("limits")).content.decode()
    mark = '{} <span class="badge badge--plain">Your plan</span>'
    assert mark.format(Plan.objects.for_guests().name) in guests
    assert mark.format(user.plan.name) in own
    assert guests.count("Your plan") == own.count("Your plan") == 1


def variables_read() -> set[str]:
    """The environment variables that the site and the engine read, found in their syntax trees."""
    found: set[str] = set()
    for folder in ("playground", "sandbox/host"):
        for path in (settings.BASE_DIR / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                in_loop = isinstance(node, ast.comprehension) and path.name == "settings.py"
                if in_loop and isinstance(node.iter, ast.Tuple):
                    names = {item.value for item in node.iter.elts if isinstance(item, ast.Constant)}
                    found |= {name for name in names if str(name).endswith("_BASE")}
                if called == "os.environ.get" or (called.startswith("environment.") and path.name == "settings.py"):
                    texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                    found |= {text for text in texts if re.fullmatch(r"[A-Z][A-Z0-9_]{2,}", text)}
    # Values of LOG_LEVEL, and what every program has.
    return found - {"DEBUG", "INFO", "WARNING", "ERROR", "PATH", "HOME", "TMPDIR", "LANG"} | {"DEBUG"}


def test_self_hosting_names_every_environment_variable_and_no_other():
    text = (docs.FOLDER / "self-hosting.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)}
    assert documented == variables_read()


def test_formulas_become_mathml_and_html_stays_text():
    _, html, _ = docs.rendered("# T\n\n$$S = \\frac{\\bar r}{\\sigma}$$\n\nInline $x^2$. <script>alert(1)</script>\n")
    assert html.count("<math") == 2 and "<mfrac>" in html
    assert "<script>" not in html


def test_headings_get_anchors_of_their_own():
    _, html, contents = docs.rendered("# T\n\n## Same\n\n## Same\n\n### `code` and text\n")
    assert [heading.anchor for heading in contents] == ["same", "same-2", "code-and-text"]
    assert 'id="same-2"' in html


def test_every_figure_has_its_formula_and_no_other(client):
    page = client.get(docs.url_of("metrics")).content.decode()
    keys = {each.key for group in GROUPS.values() for each in group}
    assert set(re.findall(r'<td id="([a-z0-9_-]+)">', page)) == keys
    for shown in figures(dict.fromkeys(keys, 1.0)):
        assert shown["anchor"] == docs.url_of("metrics") + "#" + shown["key"]
        assert f'<td id="{shown["key"]}">{escape(shown["label"])}</td>' in page
    assert "{#" not in page


def test_reference_lists_what_the_library_exports():
    exported = ast.literal_eval(
        next(
            node.value
            for node in reference.parse(reference.PACKAGE / "__init__.py").body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
    )
    modules = reference.public_modules()
    shown = {module.title for module in modules} | {entry.name for module in modules for entry in module.entries}
    assert set(exported) <= shown
    assert not [entry.name for module in modules for entry in module.entries if not entry.docstring]


def test_reference_does_not_import_the_library():
    source = (settings.BASE_DIR / "playground" / "reference.py").read_text(encoding="utf-8")
    assert not re.search(r"^\s*(import|from) qfp", source, re.MULTILINE)


def test_long_signatures_have_one_argument_a_line():
    node = (
        ast.parse(
            "class A:\n def f(self, first: int, /, second: str = 'x', *rest: float, "
            "only: dict[str, int] | None = None, **more) -> list[int]: ..."
        )
        .body[0]
        .body[0]
    )
    assert reference.signature_of(node).splitlines() == [
        "(",
        "    first: int,",
        "    /,",
        "    second: str = 'x',",
        "    *rest: float,",
        "    only: dict[str, int] | None = None,",
        "    **more,",
        ") -> list[int]",
    ]
