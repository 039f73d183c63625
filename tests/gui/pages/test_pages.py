"""The pages beside the chat, worked like a person works them, over a scripted daemon."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QHeaderView,
    QLineEdit,
    QScrollArea,
    QScrollBar,
    QSpinBox,
    QSplitter,
    QTabBar,
    QTabWidget,
    QWidget,
)

from gui.contents import pages
from gui.icons import pixmap
from gui.link import Phase
from gui.models.found_list import name_of
from gui.theme import THEME
from gui.views.discover_page import DiscoverPage
from gui.views.downloads_page import DownloadsPage
from gui.views.library_page import LibraryPage
from gui.views.machine_page import MachinePage
from gui.views.server_page import ServerPage
from gui.views.settings_page import SettingsPage
from gui.widgets.ask import Question
from gui.words import WORDS
from runner.domain.job import JobState
from tests.fakes.daemon import MODEL, SEARCH

MINE = (DiscoverPage, DownloadsPage, LibraryPage, ServerPage, MachinePage, SettingsPage)
JOB = {
    "id": 4,
    "kind": "pull",
    "name": "hf.co/own/tiny-GGUF:Q4_K_M",
    "state": "running",
    "phase": "pulling 0123",
    "n_done": 1_000_000_000,
    "n_bytes": 4_000_000_000,
    "rate_bps": 25_000_000,
    "eta_s": 120.0,
    "source": "hf.co",
    "error": None,
    "started": "2026-01-02T03:04:05.500000000Z",
    "finished": None,
    "place": 0,
    "limit_bps": 0,
    "is_attended": False,
}


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def question(page):
    return next(one for one in page.findChildren(Question) if one.isVisible())


def test_every_page_of_the_list_has_its_own_key_and_icon(application):
    entries = pages()
    assert len({entry.key for entry in entries}) == len(entries)
    assert all(not pixmap(entry.key, 16, "text").isNull() for entry in entries)


def test_a_page_is_titled_as_the_sidebar_has_it():
    titles = {entry.key: getattr(entry.kind(), "title", "Chat") for entry in pages()}
    assert titles == {entry.key: entry.title for entry in pages()}


# Library


def test_the_library_shows_its_models_and_the_details_of_the_one_chosen(desk, fake):
    page = desk.open(LibraryPage)
    desk.until(lambda: page.content.is_shown and page.details.content.is_shown)
    assert page.grid.current.name == "smollm2:latest"
    assert page.details.row.running is not None
    assert page.summary.text() == "1 model, 92 MB on disk"
    desk.until(lambda: fake.bodies("/api/show"))


def test_a_model_is_unloaded_and_loaded_by_a_click(desk, fake):
    page = desk.open(LibraryPage)
    desk.until(lambda: page.details.content.is_shown)
    click(page.details._buttons["unload"])
    desk.until(lambda: page.details.row.running is None)
    click(page.details._buttons["keep"])
    desk.until(lambda: fake.bodies("/api/generate"))
    body = fake.bodies("/api/generate")[-1]
    assert (body["model"], body["prompt"], body["keep_alive"]) == ("smollm2:latest", "", -1)


def test_a_delete_says_what_it_frees_and_can_be_left(desk, fake):
    page = desk.open(LibraryPage)
    desk.until(lambda: page.details.content.is_shown)
    page.grid.setFocus()
    QTest.keyClick(page.grid, Qt.Key.Key_Delete)
    asked = question(page)
    assert asked.windowTitle() == "Delete smollm2:latest?"
    QTest.keyClick(asked, Qt.Key.Key_Escape)
    assert not fake.bodies("/api/delete")
    QTest.keyClick(page.grid, Qt.Key.Key_Delete)
    click(question(page).act)
    desk.until(lambda: not page.content.is_shown)
    assert fake.bodies("/api/delete") == [{"model": "smollm2:latest"}]
    assert page.content.notice.accessibleName() == "The library is empty"


def test_a_second_name_must_be_a_name(desk, fake):
    page = desk.open(LibraryPage)
    desk.until(lambda: page.details.content.is_shown)
    click(page.details._buttons["copy"])
    asked = question(page)
    asked.field.setText("not a name")
    assert not asked.act.isEnabled()
    asked.field.setText("mine:1")
    click(asked.act)
    desk.until(lambda: fake.bodies("/api/copy"))
    assert fake.bodies("/api/copy") == [{"source": "smollm2:latest", "destination": "mine:1"}]


def test_an_empty_library_leads_to_the_hubs(desk, fake):
    fake.script.models = []
    page = desk.open(LibraryPage)
    desk.until(lambda: page.content.notice.accessibleName() == "The library is empty")
    click(page.content.notice._buttons.itemAt(0).widget())
    assert desk.went == ["discover"]


def test_a_library_that_cannot_be_read_says_why_and_tries_again(desk, fake):
    fake.script.failures["/api/tags"] = (500, {"error": "disk is gone", "code": "store_failed"})
    page = desk.open(LibraryPage)
    desk.until(lambda: "disk is gone" in page.content.notice.accessibleDescription())
    assert "[store_failed]" in page.content.notice.accessibleDescription()
    fake.script.failures.clear()
    click(page.content.notice._buttons.itemAt(0).widget())
    desk.until(lambda: page.content.is_shown)


def test_a_file_is_imported_and_a_failure_is_told(desk, fake, tmp_path):
    page = desk.open(LibraryPage)
    desk.until(lambda: page.content.is_shown)
    fake.script.failures["/api/pull"] = (400, {"error": "no GGUF", "code": "bad_model_file"})
    page.import_file(tmp_path / "x.gguf")
    desk.until(lambda: "no GGUF" in page.banner.text)
    fake.script.failures.clear()
    page.import_file(tmp_path / "x.gguf")
    desk.until(lambda: page.banner.isHidden())
    assert fake.bodies("/api/pull")[-1]["path"] == str(tmp_path / "x.gguf")


def test_a_thousand_models_are_searched(desk, fake):
    fake.script.models = [
        MODEL | {"name": f"m{n}:latest", "digest": f"{n:064d}"} for n in range(1000)
    ]
    page = desk.open(LibraryPage)
    desk.until(lambda: page.table.rowCount() == 1000)
    page.search.setText("m99")
    assert page.sorted.rowCount() == 11
    assert page.summary.text() == "11 of 1000 models"


# Discover


def test_a_search_shows_results_marks_and_sizes_and_downloads_the_recommended(desk, fake):
    fake.script.failures["/api/jobs"] = (200, JOB)
    page = desk.open(DiscoverPage)
    page.words.setText("tiny")
    QTest.keyClick(page.words, Qt.Key.Key_Return)
    desk.until(lambda: page.content.is_shown)
    assert page.results.rowCount() == 2
    assert page.pane.grid.current.quant.label == "Q4_K_M"
    assert page.pane.download.text() == "Download Q4_K_M, 2.5 GB"
    click(page.pane.download)
    desk.until(lambda: desk.went == ["downloads"])
    assert fake.bodies("/api/jobs") == [{"kind": "pull", "model": "hf.co/own/tiny-GGUF:Q4_K_M"}]


def test_filters_that_leave_nothing_can_be_loosened(desk, fake):
    page = desk.open(DiscoverPage)
    page.words.setText("tiny")
    page.search()
    desk.until(lambda: page.content.is_shown)
    page.fits.setChecked(True)
    assert page.results.rowCount() == 1
    page.open.setChecked(True)
    assert page.content.notice.accessibleName() == "The filters leave nothing"
    click(page.content.notice._buttons.itemAt(0).widget())
    assert page.results.rowCount() == 2


def test_results_are_narrowed_by_language_and_ability_also_those_of_last_time(desk, at, fake):
    page = desk.open(DiscoverPage)
    page.words.setText("tiny")
    page.search()
    desk.until(lambda: page.content.is_shown)
    assert [page.language.itemText(n) for n in range(3)] == ["Any language", "English", "中文"]
    page.tools.setChecked(True)
    assert page.results.rowCount() == 1
    again = at(fake.place).open(DiscoverPage)
    desk.until(lambda: again.results.rowCount() == 2)
    again.language.setCurrentIndex(again.language.findData("zh"))
    again.language.activated.emit(2)
    assert [m.name for m in again.results._models] == ["hf.co/own/tiny-GGUF"]
    again.vision.setChecked(True)
    assert again.content.notice.accessibleName() == "The filters leave nothing"


def test_offline_the_last_results_stay_also_for_the_next_start(desk, at, fake):
    page = desk.open(DiscoverPage)
    page.words.setText("tiny")
    page.search()
    desk.until(lambda: page.content.is_shown)
    path = next(path for _, path, _, _ in fake.requests if path.startswith("/api/search"))
    fake.script.failures[path] = (502, {"error": "no network", "code": "source_failed"})
    page.search()
    desk.until(lambda: page.note.text().startswith("Offline: results for “tiny”"))
    assert page.results.rowCount() == 2
    again = at(fake.place).open(DiscoverPage)
    desk.until(lambda: again.results.rowCount() == 2)
    assert again.note.text().startswith("Results for “tiny”")


def test_one_hub_that_is_silent_is_named_beside_what_the_other_found(desk, fake):
    fake.script.search = SEARCH | {
        "errors": [{"hub": "modelscope.cn", "error": "timed out", "code": "x", "hint": ""}]
    }
    page = desk.open(DiscoverPage)
    page.words.setText("tiny")
    page.search()
    desk.until(lambda: page.content.is_shown)
    assert page.note.text() == "modelscope.cn does not answer: timed out"


def test_a_pasted_name_can_be_downloaded_at_once(desk, fake):
    fake.script.failures["/api/jobs"] = (200, JOB)
    page = desk.open(DiscoverPage)
    page.words.setText("hf.co/own/tiny-GGUF:Q8_0")
    assert not page.exact.isHidden()
    click(page.exact)
    desk.until(lambda: fake.bodies("/api/jobs"))
    assert fake.bodies("/api/jobs")[0]["model"] == "hf.co/own/tiny-GGUF:Q8_0"


def test_a_model_without_told_quantizations_is_left_to_the_daemon(desk, fake):
    fake.script.failures["/api/jobs"] = (200, JOB)
    page = desk.open(DiscoverPage)
    page.words.setText("tiny")
    page.search()
    desk.until(lambda: page.content.is_shown)
    page.list.setCurrentIndex(page.results.index_of("modelscope.cn/own/bare"))
    click(page.pane.download)
    desk.until(lambda: fake.bodies("/api/jobs"))
    assert fake.bodies("/api/jobs")[0]["model"] == "modelscope.cn/own/bare"


def test_what_is_in_the_library_is_not_downloaded_again(desk, fake):
    fake.script.models = [MODEL | {"name": "hf.co/own/tiny-GGUF:Q4_K_M"}]
    page = desk.open(DiscoverPage)
    page.words.setText("tiny")
    page.search()
    desk.until(lambda: page.content.is_shown and not page.pane.download.isEnabled())
    assert page.pane.download.text() == "In the library"
    assert name_of(page.pane.model, page.pane.grid.current.quant).endswith(":Q4_K_M")


# Downloads


def test_a_download_shows_speed_and_is_paused_moved_limited_and_cancelled(desk, fake):
    fake.script.failures["/api/jobs"] = (200, {"jobs": [JOB]})
    for verb in ("pause", "move", "limit"):
        fake.script.failures[f"/api/jobs/4/{verb}"] = (200, JOB)
    fake.script.failures["/api/jobs/4"] = (200, JOB)
    page = desk.open(DownloadsPage)
    desk.until(lambda: page.content.is_shown)
    assert page.table.index(0, 6).data() == "25 MB/s"
    assert page.grid.current.state is JobState.RUNNING
    click(page._buttons["pause"])
    desk.until(lambda: fake.bodies("/api/jobs/4/pause") == [{}])
    click(page._buttons["up"])
    desk.until(lambda: fake.bodies("/api/jobs/4/move") == [{"place": 0}])
    click(page._buttons["limit"])
    asked = question(page)
    asked.field.setText("fast")
    assert not asked.act.isEnabled()
    asked.field.setText("5M")
    click(asked.act)
    desk.until(lambda: fake.bodies("/api/jobs/4/limit") == [{"limit": "5M"}])
    click(page._buttons["cancel"])
    click(question(page).act)
    desk.until(lambda: any(method == "DELETE" for method, *_ in fake.requests))


def test_a_download_that_failed_says_why_and_can_go_on(desk, fake):
    error = {"code": "disk_full", "message": "no room for 4 GB", "hint": "delete a model"}
    failed = JOB | {"state": "failed", "error": error}
    fake.script.failures["/api/jobs"] = (200, {"jobs": [failed]})
    page = desk.open(DownloadsPage)
    told = "The disk is full: no room for 4 GB\ndelete a model  [disk_full]"
    desk.until(lambda: page.reason.text() == told)
    assert page._buttons["resume"].isEnabled()
    assert not page._buttons["pause"].isEnabled()


def test_no_downloads_lead_to_the_hubs_and_the_disk_is_shown(desk, fake):
    fake.script.failures["/api/jobs"] = (200, {"jobs": []})
    page = desk.open(DownloadsPage)
    desk.until(lambda: page.content.notice.accessibleName() == "No downloads")
    desk.until(lambda: "free of" in page.disk.text)
    click(page.content.notice._buttons.itemAt(0).widget())
    assert desk.went == ["discover"]


# Server, machine, settings


def test_the_server_page_copies_programs_and_ends_requests(desk, fake):
    page = desk.open(ServerPage)
    desk.until(lambda: page.requests.rowCount() == 1 and page.model.count() == 1)
    page._copy_snippet()
    assert f"curl {fake.url}/v1/chat/completions" in QGuiApplication.clipboard().text()
    assert "smollm2:latest" in QGuiApplication.clipboard().text()
    page.grid.choose(lambda row: True)
    click(page.abort)
    desk.until(lambda: page.requests.rowCount() == 0)
    assert not page.quiet.isHidden()


def test_the_log_is_read_as_it_grows_and_filtered(desk, fake):
    fake.script.log = ["2026 INFO pool loaded", "2026 ERROR pool broke"]
    page = desk.open(ServerPage)
    page.tabs.setCurrentIndex(2)
    desk.until(lambda: "pool broke" in page.log.text.toPlainText())
    fake.script.log.append("2026 INFO pool went on")
    desk.until(lambda: page.log.text.toPlainText().endswith("pool went on"))
    page.log.level.setCurrentIndex(3)
    page.log._show()
    assert page.log.text.toPlainText() == "2026 ERROR pool broke"
    page.log.words.setText("nothing like it")
    assert page.log.text.toPlainText() == ""


def test_the_log_of_a_daemon_that_is_gone_is_read_from_its_file(at, unused_port):
    desk = at(f"127.0.0.1:{unused_port}")
    file = desk.link.paths.daemon_log
    file.parent.mkdir(parents=True)
    file.write_text("2026 INFO pool loaded\n2026 ERROR pool broke\n", encoding="utf-8")
    page = desk.open(ServerPage, phase=Phase.DOWN)
    page.tabs.setCurrentIndex(2)
    desk.until(lambda: "pool broke" in page.log.text.toPlainText())
    assert page.log.note.text() == str(file)


def test_the_devices_and_limits_are_those_that_the_daemon_tells(desk, fake):
    page = desk.open(MachinePage)
    desk.until(lambda: page.devices.table.rowCount() == 2)
    rows = [page.devices.table.columns[2].text(row) for row in page.devices.table.rows]
    assert rows == ["Processor", "Graphics"]
    assert "Answers at the same time: 16" in page.devices.limits.text()
    assert "Loaded 3 times, 1 had to go" in page.devices.limits.text()


def test_a_graphics_cards_memory_is_drawn_over_time(desk, fake):
    page = desk.open(MachinePage)
    desk.until(lambda: page.device_plots)
    [(name, plot)] = page.device_plots.items()
    assert (name, plot.used.text()) == ("gpu0", "6.0 GB free of 8.0 GB")
    page.refresh()
    desk.until(lambda: len(plot.history) > 1)
    assert {sample.n_used for sample in plot.history} == {2_000_000_000}
    assert not plot.grab().isNull() and len(page.device_plots) == 1


def test_the_machine_is_measured_and_its_models_are_shown(desk):
    page = desk.open(MachinePage)
    desk.until(lambda: page.machine is not None and page.running.rowCount() == 1)
    desk.until(lambda: len(page.history) > 1)
    assert "free of" in page.memory.text
    assert "by models" in page.plot.accessibleDescription()
    page.grid.choose(lambda row: True)
    assert page.notes.isHidden()
    click(page.unload)
    desk.until(lambda: page.running.rowCount() == 0)
    assert not page.nothing.isHidden()


def test_why_a_model_is_in_memory_with_less_is_told(desk, fake):
    fake.script.note = "the context is 2048 tokens instead of 4096, since its process died"
    page = desk.open(MachinePage)
    desk.until(lambda: not page.notes.isHidden())
    assert page.notes.text() == f"smollm2:latest: {fake.script.note}"


def test_settings_change_what_they_say_and_are_reset_by_a_typed_word(desk):
    page = desk.open(SettingsPage)
    page.theme.setCurrentIndex(page.theme.findData("dark"))
    page.theme.activated.emit(page.theme.currentIndex())
    page.font_px.setValue(18)
    page.dense.setChecked(True)
    choices = desk.settings.choices
    assert (choices.theme, choices.font_px, choices.is_dense) == ("dark", 18, True)
    page._ask_reset()
    asked = question(page)
    assert not asked.act.isEnabled()
    asked.field.setText("reset")
    click(asked.act)
    assert desk.settings.choices.theme == ""
    assert page.font_px.value() == 14


def test_diagnostics_are_written_or_it_is_said_why_not(desk, tmp_path):
    page = desk.open(SettingsPage)
    page.export_diagnostics(tmp_path / "report.txt")
    desk.until(lambda: str(tmp_path / "report.txt") in page.banner.text)
    assert "== Versions ==" in (tmp_path / "report.txt").read_text(encoding="utf-8")
    page.export_diagnostics(tmp_path / "missing" / "report.txt")
    desk.until(lambda: "[store_failed]" in page.banner.text)


# All of them


@pytest.mark.parametrize("kind", MINE, ids=lambda kind: kind.title)
def test_a_page_speaks_chinese_at_once_in_any_theme_and_size(kind, desk, fake):
    fake.script.failures["/api/jobs"] = (200, {"jobs": [JOB]})
    page = desk.open(kind)
    desk.settled()
    english = page.grab()
    try:
        WORDS.use("zh")
        page.retranslate()
        THEME.apply("contrast", font_px=28, is_dense=True)
        desk.settled()
        assert page.grab().toImage() != english.toImage()
        assert page.findChild(QAbstractButton) is not None
    finally:
        WORDS.use("en")
        THEME.apply("light")


def is_nameless(widget):
    """Whether the keyboard reaches a widget of ours that a screen reader has no word for."""
    is_reached = widget.isVisible() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
    parts = (QScrollArea, QScrollBar, QHeaderView, QTabBar, QTabWidget, QSplitter)
    is_part = isinstance(widget, parts) or widget.objectName().startswith("qt_")
    inside = isinstance(widget.parent(), QComboBox | QSpinBox)  # the field of a field
    if not is_reached or is_part or inside:
        return False
    text = widget.text() if hasattr(widget, "text") and callable(widget.text) else ""
    return not (widget.accessibleName() or text or widget.toolTip())


@pytest.mark.parametrize("kind", MINE, ids=lambda kind: kind.title)
def test_everything_that_can_be_worked_has_a_name(kind, desk, fake):
    fake.script.failures["/api/jobs"] = (200, {"jobs": [JOB]})
    page = desk.open(kind)
    desk.settled()
    for widget in page.findChildren(QAbstractButton):
        if widget.isVisible() and widget.metaObject().className() != "QToolButton":
            assert widget.text() or widget.accessibleName() or widget.toolTip(), widget
    for widget in (*page.findChildren(QComboBox), *page.findChildren(QLineEdit)):
        inside = widget.objectName().startswith("qt_")
        assert inside or widget.accessibleName() or not widget.isVisible(), widget
    nameless = [widget for widget in page.findChildren(QWidget) if is_nameless(widget)]
    assert not nameless, nameless


@pytest.mark.parametrize("kind", (DownloadsPage, LibraryPage, ServerPage), ids=lambda k: k.title)
def test_without_a_daemon_a_page_says_so(kind, at, unused_port):
    desk = at(f"127.0.0.1:{unused_port}")
    page = desk.open(kind, phase=Phase.DOWN)
    desk.settled()
    told = page.banner.text if kind is ServerPage else page.content.notice.accessibleDescription()
    assert "corral serve" in told


def test_the_server_says_that_it_waits_and_then_how_a_program_asks(desk, fake):
    page = desk.open(ServerPage)
    assert page._quiet_words() == "Reading the requests…"
    fake.script.requests = []
    page.refresh()
    desk.until(lambda: page._is_known and not page.requests.rows)
    assert page.quiet.text() == "No request is being answered."
    click(page.how)
    assert page.tabs.currentIndex() == page._parts["snippets"]
