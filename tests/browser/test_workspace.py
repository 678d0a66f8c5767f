"""Does the workspace do what it shows: write, run, watch, save, on every screen and without a script?"""

from __future__ import annotations

import re
from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import Plan
from runner.models import Project, Run
from tests.browser.pages import Held, eventually
from tests.factories import make_project, make_user


def open_editor(signed_in, source: str, **options):
    user = make_user()
    project = make_project(user, source=source)
    page = signed_in(user, **options)
    page.goto(project.edit_url)
    page.locator("body[data-ready]").wait_for()
    return page, project


def test_run_by_key_shows_output_and_how_it_ended(signed_in):
    page, _ = open_editor(signed_in, "print('the first line')\n")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".console__line", has_text="the first line")).to_have_count(1)
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")
    expect(page.locator("#runs li")).to_have_count(1)
    page.reload()
    expect(page.locator(".console__line", has_text="the first line")).to_have_count(1)
    # How long ago it was goes on while the page is open.
    expect(page.locator("#runs time")).to_have_text("just now")
    page.clock.set_fixed_time(Run.objects.get().queued + timedelta(minutes=7))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#runs time")).to_have_text("7 min ago")


def test_the_list_of_runs_has_the_end_of_a_run_whatever_the_line_is_like(signed_in):
    page, _ = open_editor(signed_in, "import time\ntime.sleep(1)\nprint('slept')\n")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#runs .badge--succeeded")).to_have_count(1)
    with page.expect_event("requestfinished", lambda request: request.url.endswith("/_runs")):
        page.reload()
    held = Held(page, "**/_runs")
    page.keyboard.press("Control+Enter")
    held.wait()  # as it was when the run had just begun
    second = page.locator(f"#run-panel[data-run='{Run.objects.latest('queued').pk}']")
    expect(second.locator("#run-status .badge")).to_have_text("Succeeded")
    held.release()
    expect(page.locator("#runs li")).to_have_count(2)
    expect(page.locator("#runs .badge--succeeded")).to_have_count(2)
    # The box that picks one leaves room for what stands beside it.
    facts, tick = page.locator(".runs__facts").first, page.locator(".runs__tick").first
    ends = "e => e.getBoundingClientRect().right - parseFloat(getComputedStyle(e).paddingInlineEnd)"
    assert facts.evaluate(ends) < tick.bounding_box()["x"]
    # What was ticked to be compared stays so when the list is renewed, and the keyboard stays there.
    first = page.get_by_label("Compare run 1", exact=True)
    first.check()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#runs .badge--succeeded")).to_have_count(3)
    expect(first).to_be_checked()
    expect(first).to_be_focused()
    # One that is not followed here, as while its tests go on beside the next, is over some time.
    earliest = Run.objects.filter(pk=Run.objects.earliest("queued").pk)
    before = earliest.values("status", "finished").get()
    asked: list = []
    page.route("**/_runs", lambda it: asked.append(it), times=1)
    page.keyboard.press("Control+Enter")
    eventually(page, lambda: bool(asked))
    earliest.update(status=Run.Status.RUNNING, finished=None, lease_expires=before["finished"] + timedelta(hours=1))
    asked[0].continue_()
    expect(page.locator("#runs .badge--succeeded")).to_have_count(3)
    expect(page.locator("#runs .badge--running")).to_have_count(1)
    earliest.update(**before, lease_expires=None)
    expect(page.locator("#runs .badge--succeeded")).to_have_count(4)


def test_the_list_of_runs_is_renewed_where_the_last_output_is_there_before_the_editor(signed_in):
    page, _ = open_editor(signed_in, "print('once more')\n")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#runs .badge--succeeded")).to_have_count(1)
    page.route("**/editor.*.js", lambda route: route.abort())
    page.reload()
    expect(page.locator(".console__line", has_text="once more")).to_have_count(1)
    page.locator("[data-action=run]").click()
    expect(page.locator("#runs .badge--succeeded")).to_have_count(2)


def test_error_leads_to_its_line(signed_in):
    page, _ = open_editor(signed_in, "def f(x):\n    return 1 / x\n\n\nf(0)\n")
    page.locator(".monaco-editor").first.wait_for()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-status .badge")).to_have_text("Failed")
    page.get_by_role("button", name="Go to line").first.click()
    expect(page.locator(".monaco-editor .line-called")).to_have_count(1)
    expect(page.locator(".console__line--stderr .console__link").first).to_be_visible()


def test_flood_keeps_the_newest_and_loads_all_on_demand(signed_in):
    page, _ = open_editor(signed_in, "for i in range(20_000): print(i)\n")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")
    expect(page.locator("[data-console-total]")).to_have_text("20\u202f000 lines")
    assert page.locator(".console__line").count() <= 5_000
    page.locator("[data-console-earlier]").click()
    expect(page.locator(".console__line")).to_have_count(20_000)
    assert page.locator(".console__line").first.text_content() == "0"


def test_input_is_asked_in_the_console(signed_in):
    page, _ = open_editor(signed_in, "print('hello', input('Who? '))\nprint('from', input('Where? '))\n")
    page.keyboard.press("Control+Enter")
    page.get_by_label("Who?").fill("Ada")
    held = Held(page, "**/input")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # what is pressed twice does not answer the next question
    expect(page.locator(".console__line", has_text="hello Ada")).to_have_count(1)
    expect(page.get_by_label("Where?")).to_be_visible()
    held.release()
    expect(page.locator(".console__line--input")).to_have_text(["Who? Ada"])
    page.get_by_label("Where?").fill("Paris")
    page.keyboard.press("Enter")
    expect(page.locator(".console__line", has_text="from Paris")).to_have_count(1)
    expect(page.locator("#input-form")).to_be_hidden()

    # Nor is one asked any more whose end the record alone tells.
    def without_the_end(it):
        server = it.connect_to_server()
        server.on_message(lambda text: it.close(code=4404) if '"finished"' in text else it.send(text))

    page.route_web_socket(re.compile("/ws/"), without_the_end)
    page.reload()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_label("Who?")).to_be_visible()
    page.keyboard.press("Control+.")
    expect(page.locator("#run-status .badge")).to_have_text("Stopped")
    expect(page.locator("#input-form")).to_be_hidden()


def test_stop_ends_an_endless_run_and_a_second_one_is_not_begun_before(signed_in):
    page, _ = open_editor(signed_in, "print('on', flush=True)\nwhile True: pass\n")
    page.keyboard.press("Control+Enter")
    page.locator(".console__line", has_text="on").wait_for()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-status")).to_contain_text("A run is going; stop it first")

    # The live connection fails twice and is back before the first poll is answered: nothing says that it is blocked.
    tries: list = []
    page.route_web_socket(
        re.compile("/ws/"), lambda it: tries.append(it) or (it.connect_to_server() if len(tries) > 2 else it.close())
    )
    held = Held(page, re.compile(r"/events\?after="))
    page.reload()
    lost = page.locator("[data-slot=connection]")
    expect(lost).to_contain_text("Connection lost")
    held.wait()
    expect(lost).to_be_hidden()
    held.release()
    expect(lost).to_be_hidden()
    page.keyboard.press("Control+.")
    expect(page.locator("#run-status .badge")).to_have_text("Stopped")


def test_parameter_becomes_a_slider_and_its_value_is_passed(signed_in):
    source = "from qfp import param\nprint('window', param('window', 60, 10, 200, step=10))\n"
    page, project = open_editor(signed_in, source)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".console__line", has_text="window 60")).to_have_count(1)
    box = page.get_by_role("spinbutton", name="window")
    # A sweep may choose a value between the steps. The keys go from it to the next of them, the slider shows that.
    for key, value in (("ArrowUp", "180"), ("ArrowDown", "170")):
        box.fill("175")
        assert box.evaluate("box => box.form.id === 'run-form' && box.form.checkValidity()")
        expect(page.get_by_role("slider", name="window")).to_have_value("180")
        box.press(key)
        expect(box).to_have_value(value)
    box.fill("205")
    assert not box.evaluate("box => box.checkValidity()")
    box.fill("20")
    expect(page.locator("#stale")).to_contain_text("A parameter has changed")
    expect(page.locator("#stale")).to_be_visible()  # the first run is over
    page.keyboard.press("Control+Enter")
    expect(page.locator(".console__line", has_text="window 20")).to_have_count(1)
    assert Run.objects.filter(revision__project=project).latest("queued").params == {"window": 20}
    expect(page.locator("#stale")).to_be_hidden()


def test_text_is_saved_as_it_is_typed_and_a_conflict_is_asked_about(signed_in):
    page, project = open_editor(signed_in, "x = 1\n", has_touch=True, is_mobile=True, width=360, height=740)
    page.get_by_role("button", name="Edit as text").click()
    page.get_by_label("main.py", exact=True).fill("x = 2\n")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    eventually(page, lambda: Project.objects.get(pk=project.pk).source == "x = 2\n")
    assert page.locator(".monaco-editor").count() == 0

    # What is typed while a save is on its way is saved after it, though its own time has come meanwhile.
    held = Held(page, "**/draft")
    page.get_by_label("main.py", exact=True).fill("x = 21\n")
    held.wait()
    page.get_by_label("main.py", exact=True).fill("x = 22\n")
    page.evaluate("dispatchEvent(new Event('online'))")  # saves at once what waits for its time
    held.release()
    eventually(page, lambda: Project.objects.get(pk=project.pk).source == "x = 22\n")
    expect(page.locator("#save-state")).to_contain_text("Saved")

    Project.objects.filter(pk=project.pk).update(draft={"main.py": "theirs\n"}, draft_version=50)
    page.get_by_label("main.py", exact=True).fill("x = 3\n")
    page.get_by_role("button", name="Keep my text").click()
    eventually(page, lambda: Project.objects.get(pk=project.pk).source == "x = 3\n")


def test_what_is_sent_late_or_not_answered_is_no_conflict(signed_in):
    page, project = open_editor(signed_in, "x = 1\n", has_touch=True, is_mobile=True)
    page.get_by_role("button", name="Edit as text").click()
    source = page.get_by_label("main.py", exact=True)

    def stored(text: str) -> bool:
        return Project.objects.get(pk=project.pk).source == text

    # Two that wait for a save go one after the other, as long as they have patience: the page's clock stands still.
    held: list = []
    page.route(re.compile("/(draft|save|run)$"), lambda it: held.append(it))
    source.fill("x = 2\n")
    eventually(page, lambda: len(held) == 1)
    page.clock.install()
    page.clock.pause_at(timezone.now() + timedelta(minutes=1))
    page.keyboard.press("Control+s")
    page.keyboard.press("Control+Enter")
    held[0].continue_()
    eventually(page, lambda: len(held) > 1)
    page.evaluate("0")
    assert [it.request.url.rpartition("/")[2] for it in held] == ["draft", "save"]
    page.unroute_all()  # which lets go what is held
    page.clock.resume()
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")

    # One that the server has stored, and that is typed on after its answer was lost.
    lost: list = []
    page.route("**/draft", lambda it: (it.fetch(), it.abort(), lost.append(it)), times=1)
    source.fill("x = 3\n")
    eventually(page, lambda: bool(lost))
    source.fill("x = 4\n")
    page.evaluate("dispatchEvent(new Event('online'))")
    eventually(page, lambda: stored("x = 4\n"))
    # The same where the page is loaded anew before the answer.
    drafts = Held(page, "**/draft")
    source.fill("x = 5\n")
    drafts.wait()
    drafts.pass_others()
    source.fill("x = 6\n")
    page.reload()
    eventually(page, lambda: stored("x = 6\n"))
    expect(source).to_have_value("x = 6\n")

    # One so late that a run has gone before its answer.
    page.get_by_role("button", name="Edit as text").click()
    drafts = Held(page, "**/draft")
    source.fill("x = 7\n")
    page.clock.fast_forward(1_000)
    drafts.wait()
    source.fill("x = 8\n")
    page.keyboard.press("Control+Enter")
    page.clock.fast_forward(5_000)
    expect(page.locator("#runs li")).to_have_count(2)
    source.fill("x = 9\n")
    drafts.release()
    page.clock.fast_forward(1_000)
    eventually(page, lambda: stored("x = 9\n"))
    expect(page.locator("#save-state")).to_contain_text("Saved")


def test_text_typed_offline_is_kept_and_sent_later(signed_in):
    page, project = open_editor(signed_in, "x = 1\n", width=640)
    page.get_by_role("button", name="Edit as text").click()
    page.context.set_offline(True)
    page.get_by_label("main.py", exact=True).fill("x = 4\n")
    expect(page.locator("#save-state")).to_contain_text("kept here")
    page.context.set_offline(False)
    eventually(page, lambda: Project.objects.get(pk=project.pk).source == "x = 4\n")
    expect(page.locator("#save-state")).to_contain_text("Saved")


def test_it_works_without_a_script(signed_in):
    user = make_user()
    project = make_project(user, source="print('plain')\n")
    page = signed_in(user, java_script_enabled=False)
    page.goto(project.edit_url)
    page.get_by_label("main.py", exact=True).fill("print('changed', 6 * 7)\n")
    page.get_by_role("button", name="Run").click()
    page.wait_for_url("**/r/**")
    eventually(page, lambda: Run.objects.get().is_finished)
    # The page of a run that goes on loads itself anew; loading it from here at that moment would meet nobody.
    expect(page.locator("#console")).to_contain_text("changed 42")
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")


def test_nothing_scrolls_sideways_on_a_phone(signed_in):
    source = "from qfp import param\nfor name in ('one', 'two', 'three'): param(name, 5, 1, 9)\nprint('x' * 300)\n"
    page, _ = open_editor(signed_in, source, has_touch=True, is_mobile=True, width=360, height=740)
    page.locator("[data-action=run]").click()
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")
    # Parameters are one row, the first of them whole; all of them are one press away.
    one, three = page.get_by_role("spinbutton", name="one"), page.get_by_role("spinbutton", name="three")
    page.get_by_role("tab", name="Result").click()
    expect(one).to_be_in_viewport(ratio=1)
    # With a label as long as any, too, no number is beyond the edge of the row or under its fade, down to 320.
    page.locator(".param__label").first.evaluate("(label) => { label.textContent = 'Lookback, days'; }")
    for width in (360, 320):
        page.set_viewport_size({"width": width, "height": 740})
        row, box = page.locator(".params__list").bounding_box(), page.locator("#param-one").bounding_box()
        assert row and box and box["x"] + box["width"] <= row["x"] + row["width"] - 28, width
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    page.set_viewport_size({"width": 360, "height": 740})
    page.get_by_role("button", name="All 3").click()
    expect(three).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="All 3").click()
    expect(three).not_to_be_in_viewport()
    for tab in ("Code", "Result", "Console", "Runs"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
    page.evaluate("document.querySelector('[data-action=stop]').hidden = false")  # as while a run is going
    for action in ("stop", "run"):
        box = page.locator(f"[data-action={action}]").bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360, action
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_a_plan_with_a_gpu_offers_has_room_and_its_limits_are_one_press_away(signed_in):
    Plan.objects.update(gpu_seconds_per_day=600, cores=2)
    for width in (360, 768, 1280):
        page, _ = open_editor(signed_in, "print(1)\n", width=width, height=760)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        for name in ("Run", "Run on GPU", "Session", "Limits"):
            box = page.locator(".actions").get_by_role("button", name=name, exact=True).last.bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width, (name, width)
        page.get_by_role("button", name="Limits").click()
        expect(page.locator("#all-limits")).to_contain_text("600 GPU seconds a day")
        expect(page.locator("#all-limits")).to_contain_text("2 processor cores")
        expect(page.locator("#all-limits")).to_be_in_viewport(ratio=1)
        page.context.close()


def test_a_printed_table_keeps_its_columns(signed_in):
    page, _ = open_editor(signed_in, "print('-' * 200)\nprint('short')\n", width=1280)
    page.keyboard.press("Control+Enter")
    short = page.locator(".console__line", has_text="short")
    expect(short).to_have_count(1)
    table = page.locator(".console__line").first.bounding_box()
    assert table is not None and table["height"] == short.bounding_box()["height"]
    assert page.locator("[data-console-scroll]").evaluate("(it) => it.scrollWidth > it.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_empty_console_says_whether_more_may_come(signed_in):
    page, _ = open_editor(signed_in, "x = 1\n")
    expect(page.locator(".console__nothing")).to_contain_text("Nothing printed yet")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-status .badge")).to_have_text("Succeeded")
    expect(page.locator(".console__nothing")).to_have_text("Nothing was printed.", use_inner_text=True)


def test_panes_can_be_sized_by_keyboard_and_stay_so(signed_in):
    page, _ = open_editor(signed_in, "print(1)\n")
    splitter = page.get_by_role("separator", name="Size of the code pane")
    splitter.focus()
    page.keyboard.press("ArrowRight")
    expect(splitter).to_have_attribute("aria-valuenow", "52")
    page.reload()
    expect(splitter).to_have_attribute("aria-valuenow", "52")


def test_a_name_and_who_sees_it_are_stored_in_the_order_they_were_chosen(signed_in):
    page, project = open_editor(signed_in, "print(1)\n")
    Project.objects.update(visibility=Project.Visibility.PUBLIC)
    page.reload()
    page.locator("body[data-ready]").wait_for()
    on_their_way: list = []
    page.route("**/settings", lambda it: it.continue_() if released else on_their_way.append(it))
    released = False
    title = page.locator("#settings-form [name=title]")
    title.fill("Another name")
    title.press("Enter")
    eventually(page, lambda: len(on_their_way) == 1)
    page.get_by_label("Who can see it").select_option("private")
    title.fill("A third")
    released = True
    for route in reversed(on_their_way):
        with page.expect_event("requestfinished", lambda request, of=route.request: request == of):
            route.continue_()
    eventually(page, lambda: Project.objects.get(pk=project.pk).visibility == Project.Visibility.PRIVATE)
    expect(title).to_have_value("A third")
    with page.expect_event("requestfinished", lambda request: request.url.endswith("/settings")):
        title.press("Enter")
    eventually(page, lambda: Project.objects.get(pk=project.pk).title == "A third")
    assert Project.objects.get(pk=project.pk).visibility == Project.Visibility.PRIVATE

    # One that does not arrive takes nothing back that was chosen since.
    Project.objects.update(visibility=Project.Visibility.PUBLIC)
    page.reload()
    page.locator("body[data-ready]").wait_for()
    on_their_way.clear()
    released = False
    title.fill("A fourth")
    title.press("Enter")
    eventually(page, lambda: len(on_their_way) == 1)
    page.get_by_label("Who can see it").select_option("private")
    released = True
    on_their_way[0].abort()
    eventually(page, lambda: Project.objects.get(pk=project.pk).visibility == Project.Visibility.PRIVATE)


def test_keys_are_listed_and_single_letters_can_be_switched_off(signed_in):
    page, _ = open_editor(signed_in, "print(1)\n")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    dialog.get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(dialog).to_be_hidden()
