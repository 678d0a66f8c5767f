"""Does the workspace keep a live session: cells by key, state, variables, and what it says when it ends?"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from accounts.models import Plan
from runner.models import Project, Run, Session
from tests.browser.pages import Held, eventually
from tests.factories import make_project, make_user

FILE = """# %% Load
import numpy as np, pandas as pd
frame = pd.DataFrame({"n": np.arange(250), "twice": 2 * np.arange(250)})
print("loaded")

# %% Look
print("sum", frame["n"].sum())

# %% Slow
import time
print("begun", flush=True)
while True: time.sleep(0.05)
"""


@pytest.fixture(autouse=True)
def _no_session_outlives_its_test(request):
    yield
    engine = request.getfixturevalue("engine")
    for each in engine.sessions():
        engine.close_session(each["id"], each["owner"])


def open_session(signed_in, source: str = FILE, **options):
    user = make_user()
    project = make_project(user, source=source)
    page = signed_in(user, **options)
    page.goto(project.edit_url)
    page.locator("body[data-ready]").wait_for()
    page.get_by_role("button", name="Session", exact=True).click()
    return page, project


def test_cells_run_by_key_one_after_the_other_and_survive_the_browser(signed_in, live_site):
    page, project = open_session(signed_in)
    page.locator(".monaco-editor textarea, .monaco-editor .native-edit-context").first.focus()
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_label("Output of Load")).to_contain_text("loaded")
    page.keyboard.press("Control+Enter")  # the cursor has gone on
    expect(page.get_by_label("Output of Look")).to_contain_text("sum 31125")
    expect(page.locator("#session-state")).to_have_text("Idle")
    expect(page.locator(".cell-note--succeeded")).to_have_count(2)
    assert [run.cell_index for run in Run.objects.order_by("queued")] == [0, 1]
    user = project.owner
    page.context.close()

    elsewhere = signed_in(user)
    elsewhere.goto(project.edit_url)  # a session that lives is what one comes back to
    expect(elsewhere.get_by_label("Output of Look")).to_contain_text("sum 31125")
    expect(elsewhere.locator("#session-number")).to_contain_text("Session 1")
    elsewhere.get_by_role("button", name="Run all").click()
    expect(elsewhere.get_by_label("Output of Slow")).to_contain_text("begun")
    expect(elsewhere.locator("#session-state")).to_have_text("Busy")
    elsewhere.keyboard.press("Control+.")
    expect(elsewhere.get_by_label("Output of Slow").locator(".badge")).to_have_text("Stopped")
    expect(elsewhere.locator("#session-state")).to_have_text("Idle")
    assert Session.objects.get().number == 1


def test_every_press_sends_its_cell_however_fast_they_come(signed_in):
    source = "".join(f"# %% Step {number}\nprint('step', {number})\n" for number in range(1, 8))
    page, _ = open_session(signed_in, source)
    page.locator(".monaco-editor textarea, .monaco-editor .native-edit-context").first.focus()
    for _ in range(6):
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(100)
    for number in range(1, 7):
        expect(page.get_by_label(f"Output of Step {number}")).to_contain_text(f"step {number}")
    expect(page.locator(".cell-note--succeeded")).to_have_count(6)
    assert [run.cell_index for run in Run.objects.order_by("queued")] == [0, 1, 2, 3, 4, 5]


def test_what_a_silent_socket_does_not_bring_is_read_when_the_cell_is_known_to_be_over(signed_in):
    page, _ = open_session(signed_in, "# %% Said\nprint('said', 6 * 7)\n")
    page.route_web_socket(re.compile("/ws/r/"), lambda socket: None)  # opens, and never says a word
    page.locator("[data-session=cell]").click()
    output = page.get_by_label("Output of Said")
    expect(output).to_be_visible()
    eventually(page, lambda: Run.objects.get().status == Run.Status.SUCCEEDED)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(output).to_contain_text("said 42")
    expect(output.locator(".badge--succeeded")).to_be_visible()


def test_an_open_table_is_read_anew_whatever_tells_first_that_a_cell_is_over(signed_in):
    counts = "times = globals().get('times', 0) + 1\nframe = pd.DataFrame({'times': [times]})\n"
    page, project = open_session(signed_in, f"# %% Count\nimport pandas as pd\n{counts}")
    page.locator("[data-session=cell]").click()
    expect(page.locator("#session-state")).to_have_text("Idle")
    page.get_by_role("button", name="Variables").click()
    page.locator("#session-look a", has_text="frame").click()
    value = page.get_by_role("region", name="Rows of frame").locator("tbody tr td").last
    expect(value).to_have_text("1")

    # The state of the session, while the socket still says nothing.
    page.route_web_socket(re.compile("/ws/r/"), lambda socket: None)
    page.locator("[data-session=cell]").click()
    eventually(page, lambda: Run.objects.filter(status=Run.Status.SUCCEEDED).count() == 2)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(value).to_have_text("2")

    # A cell that began and ended in another tab between two looks at the state.
    other = page.context.new_page()
    other.goto(project.edit_url)
    other.locator("body[data-ready]").wait_for()
    other.locator("[data-session=cell]").click()
    eventually(page, lambda: Run.objects.filter(status=Run.Status.SUCCEEDED).count() == 3)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(value).to_have_text("3")


def test_each_cell_has_its_own_buttons_in_the_editor(signed_in):
    page, project = open_session(signed_in)
    before = project.source
    held = Held(page, re.compile(r"/session$"))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    held.wait()
    held.pass_others()
    expect(page.get_by_role("button", name="Run cell").locator("visible=true")).to_have_count(4)  # and the one above
    page.locator(".codelens-decoration a", has_text="Run above").nth(1).click()  # of the third cell
    expect(page.get_by_label("Output of Look")).to_contain_text("sum 31125")
    expect(page.get_by_label("Output of Slow")).to_have_count(0)
    assert [run.cell_index for run in Run.objects.order_by("queued")] == [0, 1]
    expect(page.locator("#session-state")).to_have_text("Idle")
    held.release()  # the state before: there was no session
    assert page.locator("#session-state").inner_text() == "Idle"  # at once, not by the next poll
    page.locator(".codelens-decoration a", has_text="Run cell").nth(1).click()
    expect(page.locator("#session-state")).to_have_text("Idle")
    project.refresh_from_db()
    assert project.source == before


def test_variables_open_a_table_that_is_paged_and_sorted(signed_in):
    loading = 'print("loaded")\na_frame = frame\nif "again" in globals(): input("Go on?")\nagain = True'
    page, project = open_session(signed_in, FILE.replace('print("loaded")', loading))
    page.locator("[data-session=cell]").click()
    expect(page.get_by_label("Output of Load")).to_contain_text("loaded")
    page.get_by_role("button", name="Variables").click()
    expect(page.get_by_role("row", name="a_frame")).to_contain_text("250 × 2")
    first, second = page.locator("#session-look a").all()
    other = page.context.new_page()
    other.goto(project.edit_url)
    other.locator("body[data-ready]").wait_for()

    def run_elsewhere() -> None:
        other.locator("[data-session=cell]").click()
        other.get_by_label("Go on?").wait_for()
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.locator(".session-cell .badge--running")).to_have_count(1)
        other.get_by_label("Go on?").press("Enter")
        expect(page.locator(".session-cell .badge--succeeded")).to_have_count(1)

    # The list that a cell's end renews leaves the keyboard on its variable.
    second.focus()
    with page.expect_event("requestfinished", lambda request: request.url.endswith("/_variables")):
        run_elsewhere()
    expect(page.locator("#session-look[aria-busy]")).to_have_count(0)
    expect(second).to_be_focused()
    # The cell that ended meanwhile does not bring the list back in place of the table that was asked for.
    held = Held(page, "**/session/_data?*")
    first.press("Enter")
    held.wait()
    run_elsewhere()
    other.close()
    held.release()
    table = page.get_by_role("region", name="Rows of frame")
    expect(table.locator("tbody tr")).to_have_count(100)
    page.get_by_role("link", name="Next rows").click()
    expect(page.locator("#session-look")).to_contain_text("rows 101 to 200 of 250")
    page.get_by_role("link", name="twice").click()
    expect(table.locator("th[aria-sort=ascending]")).to_have_text("twice")
    page.get_by_role("link", name="twice").click()
    expect(table.locator("th[aria-sort=descending]")).to_have_text("twice")
    expect(table.locator("tbody tr").first.locator("td").last).to_have_text("498")

    # A cell that changes it renews what is read: the same rows, by the same column, scrolled as far.
    page.get_by_role("link", name="Next rows").click()
    expect(table.locator("tbody tr").first.locator("td").last).to_have_text("298")
    table.evaluate("it => it.scrollTo(0, 900)")
    editor = page.locator(".monaco-editor textarea, .monaco-editor .native-edit-context").first
    editor.focus()
    page.keyboard.press("Control+End")
    page.keyboard.type("\n# %% Change\nframe['twice'] += 1")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_label("Output of Change").locator(".badge")).to_have_text("Succeeded")
    expect(table.locator("tbody tr").first.locator("td").last).to_have_text("299")
    expect(table).to_be_visible()
    expect(page.locator("#session-look")).to_contain_text("rows 101 to 200 of 250")
    assert table.evaluate("it => it.scrollTop") == 900
    # While a cell runs nobody answers: it stays, and says so.
    editor.focus()
    page.keyboard.type("\nimport time; time.sleep(0 if 'slept' in globals() else 8); slept = 1")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#session-banner")).to_contain_text("Change runs; what is shown is as it was before")
    expect(page.get_by_label("Output of Change").locator(".badge")).to_have_text("Running")
    page.get_by_role("button", name="Variables").click()
    expect(page.locator("#session-look")).to_contain_text("As it was before the last cell")
    expect(table.locator("tbody tr").first.locator("td").last).to_have_text("300")
    expect(page.locator("#session-look")).not_to_contain_text("As it was before")
    # So it does where the server cannot be reached, until it can.
    page.route("**/session/_data?*", lambda route: route.abort())
    page.get_by_role("button", name="Variables").click()
    expect(page.locator("#session-look")).to_contain_text("The server cannot be reached")
    expect(table.locator("tbody tr").first.locator("td").last).to_have_text("300")
    page.unroute("**/session/_data?*")
    page.get_by_role("button", name="Variables").click()
    expect(page.locator("#session-look")).not_to_contain_text("cannot be reached")
    expect(table.locator("tbody tr").first.locator("td").last).to_have_text("300")
    # One that fails meanwhile is told, with a way there.
    expect(page.locator("#session-banner")).to_be_hidden()
    editor.focus()
    page.keyboard.type("\n1 / 0")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#session-banner")).to_contain_text("Change: Failed")
    expect(table).to_be_visible()
    page.get_by_role("button", name="Show the cell").click()
    expect(page.get_by_label("Output of Change")).to_be_visible()
    expect(page.locator("#session-banner")).to_be_hidden()
    # What was on its way from an interpreter that is gone leaves nothing behind.
    held = Held(page, "**/session/_data?*")
    page.get_by_role("button", name="Variables").click()
    held.wait()
    page.get_by_role("button", name="Cells").click()
    page.get_by_role("button", name="Restart").click()
    expect(page.locator("#session-state")).to_have_text("Ended")
    page.locator("[data-session=cell]").click()
    expect(page.locator("#session-number")).to_contain_text("Session 2")
    expect(page.locator("#session-look")).to_be_empty()
    expect(page.locator("#session-look[aria-busy]")).to_have_count(0)
    held.release()
    expect(page.locator("#session-look")).to_be_empty()


def seconds_left(banner) -> int:
    number, unit = re.search(r"Ends in (\d+)\s(s|min)", banner.inner_text()).groups()
    return int(number) * (60 if unit == "min" else 1)


def test_the_end_is_told_before_and_after_and_can_be_put_off(signed_in):
    Plan.objects.update(session_idle_minutes=1)
    page, _ = open_session(signed_in)
    page.locator("[data-session=cell]").click()
    expect(page.get_by_label("Output of Load")).to_contain_text("loaded")
    banner = page.locator("#session-banner")
    expect(banner).to_contain_text("run something to keep it")
    expect(banner).to_contain_text(re.compile(r"Ends in (5[0-6]|[1-4]\d)\ss"))
    # A press that outlasts a second of the count is one.
    page.get_by_role("button", name="Keep it").hover()
    page.mouse.down()
    before = seconds_left(banner)
    eventually(page, lambda: seconds_left(banner) < before)
    page.mouse.up()
    eventually(page, lambda: seconds_left(banner) > before)
    page.get_by_role("button", name="Restart").click()
    expect(page.locator("#session-state")).to_have_text("Ended")
    expect(page.locator("#session-banner")).to_contain_text("restarted")
    expect(page.get_by_label("Output of Load").locator(".badge")).to_have_text("Succeeded, session ended")
    expect(page.locator(".cell-note--old")).to_have_count(1)
    page.locator("[data-session=cell]").click()
    expect(page.locator("#session-number")).to_contain_text("Session 2")
    expect(page.get_by_label("Output of Load").locator(".badge")).to_have_text("Succeeded")
    expect(page.locator(".cell-note--succeeded")).to_have_count(1)


def test_a_cell_asks_shows_and_fails_where_it_stands(signed_in):
    source = (
        "# %% Ask\nname = input('Who? ')\nprint('hello', name)\n"
        "# %% Show\nimport pandas as pd\npd.DataFrame({'a': [1]})\n# %% Fail\n1 / 0\n"
    )
    page, _ = open_session(signed_in, source)
    # The state of the new session comes late, and is of a moment when its first cell still waited.
    held = Held(page, re.compile(r"/session$"))
    page.get_by_role("button", name="Run all").click()
    held.wait()
    held.pass_others()
    page.get_by_label("Who?").fill("Ad")
    route, answer = held.answers[-1]
    state = answer.json()
    for cell in state["cells"]:
        cell["status"] = "queued"
    with page.expect_event("requestfinished", lambda request: request == route.request):
        route.fulfill(response=answer, json=state)
    expect(page.locator("#session-number")).to_contain_text("Session 1")
    expect(page.get_by_label("Who?")).to_have_value("Ad")
    expect(page.get_by_label("Output of Ask").locator(".badge")).to_have_text("Running")
    page.get_by_role("button", name="Variables").click()
    expect(page.locator("#session-banner")).to_contain_text("Ask waits for input: Who?")
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_label("Who?")).to_be_focused()
    expect(page.locator("#session-banner")).to_be_hidden()
    page.get_by_label("Who?").fill("Ada")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Output of Ask")).to_contain_text("hello Ada")
    expect(page.get_by_label("Output of Show").frame_locator("iframe").locator("td").first).to_be_visible()
    failed = page.get_by_label("Output of Fail")
    expect(failed.locator(".badge")).to_have_text("Failed")
    page.get_by_role("button", name="Variables").click()
    expect(page.locator("#session-look")).to_be_visible()
    expect(page.locator("#session-banner")).to_be_hidden()  # it was seen to fail
    page.get_by_role("button", name="Cells").click()
    page.locator(".monaco-editor").first.wait_for()
    failed.get_by_role("button", name="go to line 8").first.click()
    expect(page.locator(".monaco-editor .line-called")).to_have_count(1)
    # A changed cell is marked in both places.
    page.keyboard.press("End")
    page.keyboard.type(" + 1")
    expect(failed.get_by_text("changed since")).to_be_visible()
    page.reload()  # what was asked and typed is there as what was printed is
    expect(page.get_by_label("Output of Ask")).to_contain_text("Who? Adahello Ada")


def test_a_session_works_without_a_script(signed_in):
    user = make_user()
    project = make_project(user, source=FILE.split("# %% Slow")[0])
    page = signed_in(user, java_script_enabled=False)
    page.goto(project.edit_url)
    page.get_by_role("link", name="Session", exact=True).click()
    page.get_by_role("button", name="Run all").click()
    for _ in range(60):
        if page.get_by_text("sum 31125").count():
            break
        page.wait_for_timeout(500)
        page.get_by_role("link", name="Reload").click()
    expect(page.get_by_text("sum 31125")).to_be_visible()
    eventually(page, lambda: Run.objects.filter(status=Run.Status.SUCCEEDED).count() == 2)  # nobody answers before
    page.get_by_role("link", name="Variables").click()
    page.get_by_role("link", name="frame").click()
    page.get_by_role("link", name="Next rows").click()
    expect(page.get_by_text("rows 101 to 200 of 250")).to_be_visible()
    assert Project.objects.get().sessions.get().is_alive


@pytest.mark.parametrize(("width", "height"), [(360, 740), (900, 700), (1280, 800)])
def test_nothing_of_a_session_leaves_the_screen(signed_in, width, height):
    page, _ = open_session(signed_in, width=width, height=height)
    page.locator("[data-session=cell]").click()
    if width < 720:
        page.get_by_role("tab", name="Result").click()
    expect(page.get_by_label("Output of Load")).to_contain_text("loaded")
    overflow = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    for name in ("Run cell", "Run all", "Interrupt", "Restart"):
        box = page.locator(".actions__session").get_by_role("button", name=name).bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
    bar = page.locator(".session-bar")
    for name in ("Cells", "Variables", "End"):
        expect(bar.get_by_role("button", name=name)).to_be_in_viewport(ratio=0.9)
    state, end = page.locator("#session-state").bounding_box(), bar.get_by_role("button", name="End").bounding_box()
    assert end["y"] < state["y"] + state["height"], "in one line"
