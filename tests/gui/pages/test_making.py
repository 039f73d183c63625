"""What the library makes of a model: smaller forms, models of one's own, whole files."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtTest import QTest

from gui.models.own_model import create_body
from gui.models.quantize_plan import quality_text
from gui.views.defaults_dialog import DefaultsDialog
from gui.views.library_page import LibraryPage
from gui.views.modelfile_dialog import ModelfileDialog
from gui.views.quantize_dialog import QuantizeDialog
from runner.dialects import measuring
from runner.domain.name import ModelName
from runner.domain.quality import QualityReport

#: A measurement of a type that the plan says is there.
QUALITY = QualityReport(
    time="2026-01-02T03:04:05Z",
    quantization="Q8_0",
    n_bytes=5,
    text="a text",
    text_sha256="00",
    n_ctx=512,
    n_windows=4,
    n_scored=2000,
    perplexity=12.5,
    perplexity_error=0.1,
    tokens_per_s=100.0,
    source="smollm2:latest",
    kld_mean=0.0123,
    top_1=0.972,
)


def measured(fake, report):
    """Have the daemon tell this of smollm2:q8_0."""
    told = json.loads(measuring.quality(ModelName.parse("smollm2:q8_0"), [report]))
    fake.script.failures["/api/quality?model=smollm2%3Aq8_0"] = (200, told)


def click(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def page(desk):
    made = desk.open(LibraryPage)
    desk.until(lambda: made.details.content.is_shown)
    return made


def dialog(page, kind, verb):
    page._do(verb, page.grid.current)
    return next(one for one in page.findChildren(kind) if one.isVisible())


def editor(desk, page):
    """The editor of the Modelfile, once the daemon has told the text."""
    page._do("edit", page.grid.current)
    desk.until(lambda: page.findChildren(ModelfileDialog))
    [asked] = page.findChildren(ModelfileDialog)
    return asked


def test_a_plan_is_shown_and_the_usual_type_is_chosen(desk, page):
    asked = dialog(page, QuantizeDialog, "quantize")
    desk.until(lambda: asked.is_planned)
    assert [target.kind for target in asked.chosen()] == ["Q4_K_M"]
    assert asked.name.placeholderText() == "smollm2:q4_k_m"
    assert "Q8_0: 143 MB" in asked.bars.accessibleDescription()
    assert asked.act.isEnabled()
    row = next(
        i for i in range(3) if asked.grid.sorted.row(asked.grid.sorted.index(i, 0)).fits is False
    )
    assert "⚠" in asked.grid.sorted.index(row, 2).data()


def test_a_plan_that_comes_after_the_dialog_has_gone_meets_nobody(desk, page, capsys):
    asked = dialog(page, QuantizeDialog, "quantize")
    task = asked._asked
    asked.reject()
    assert task.is_cancelled
    desk.settled()
    desk.until(lambda: not page.findChildren(QuantizeDialog))
    assert "RuntimeError" not in capsys.readouterr().err


def test_what_is_chosen_is_made_under_the_name_that_is_typed(desk, fake, page):
    asked = dialog(page, QuantizeDialog, "quantize")
    desk.until(lambda: asked.is_planned)
    asked.name.setText("not a name")
    assert not asked.act.isEnabled()
    asked.name.setText("mine:small")
    click(asked.act)
    desk.until(lambda: desk.went == ["downloads"])
    assert fake.script.kept.quantized == [
        {"model": "smollm2:latest", "types": ["Q4_K_M"], "requantize": False, "name": "mine:small"}
    ]


def test_several_types_are_made_at_once_and_what_they_replace_is_said(desk, fake, page):
    asked = dialog(page, QuantizeDialog, "quantize")
    desk.until(lambda: asked.is_planned)
    asked.grid.selectAll()
    assert not asked.name.isEnabled()
    assert "replaces smollm2:q8_0" in asked.summary.text()
    asked.begin()
    desk.until(lambda: fake.script.kept.quantized)
    assert fake.script.kept.quantized[0]["types"] == ["Q8_0", "Q4_K_M", "Q2_K"]


def test_nothing_chosen_makes_nothing(desk, page):
    asked = dialog(page, QuantizeDialog, "quantize")
    desk.until(lambda: asked.is_planned)
    asked.grid.selectionModel().select(
        asked.grid.currentIndex(),
        QItemSelectionModel.SelectionFlag.Clear,
    )
    assert asked.summary.text().startswith("Choose a type.")
    assert not asked.act.isEnabled()


def test_a_quantized_source_needs_a_second_thought(desk, fake, page):
    fake.script.kept.is_quantized = True
    asked = dialog(page, QuantizeDialog, "quantize")
    desk.until(lambda: asked.is_planned)
    assert "quantized already" in asked.problem.text()
    assert not asked.act.isEnabled()
    asked.again.setChecked(True)
    desk.until(asked.act.isEnabled)
    assert asked.problem.isHidden()


def test_a_plan_that_cannot_be_made_says_why(desk, fake, page):
    fake.script.failures["/api/quantize"] = (400, {"error": "no tensors", "code": "bad_model_file"})
    asked = dialog(page, QuantizeDialog, "quantize")
    desk.until(lambda: "no tensors" in asked.content.notice.accessibleDescription())
    assert not asked.act.isEnabled()


def test_a_modelfile_is_looked_at_while_it_is_typed_and_saved(desk, fake, page):
    asked = editor(desk, page)
    assert "FROM smollm2:latest" in asked.text.toPlainText()
    asked.text.setPlainText("FROM smollm2\nPARAMETER temperature 0\nSYSTEM Be brief.")
    desk.until(lambda: asked.findings.text() == "Nothing is wrong with it.")
    click(asked.tidy)
    desk.until(lambda: asked.text.toPlainText().endswith("\n") and not asked.tidy.isEnabled())
    asked.name.setText("brief")
    desk.until(asked.act.isEnabled)
    click(asked.act)
    desk.until(lambda: fake.bodies("/api/create"))
    body = fake.bodies("/api/create")[0]
    assert (body["model"], body["from"], body["system"]) == ("brief", "smollm2", "Be brief.")
    assert body["parameters"] == {"temperature": 0.0}
    desk.until(lambda: not page.findChildren(ModelfileDialog))


def test_a_fault_in_a_modelfile_is_told_with_its_line(desk, fake, page):
    fake.script.kept.findings = [
        {"severity": "error", "line": 2, "message": "no such parameter", "hint": "see the list"}
    ]
    asked = editor(desk, page)
    desk.until(lambda: asked.findings.text() == "2: no such parameter see the list")
    assert not asked.act.isEnabled()


def test_a_modelfile_that_names_files_is_sent_elsewhere(desk, page):
    asked = editor(desk, page)
    asked.text.setPlainText("FROM ./model.gguf")
    asked.save()
    assert "import the file first" in asked.findings.text()


def test_a_models_defaults_are_shown_checked_and_kept(desk, fake, page):
    page._do("defaults", page.grid.current)
    desk.until(lambda: page.findChild(DefaultsDialog) is not None)
    asked, ended = page.findChild(DefaultsDialog), []
    asked.finished.connect(ended.append)
    asked.panel._fields["temperature"].setText("much")
    asked.save()
    assert not asked.panel.is_right and not fake.bodies("/api/create")
    asked.panel._fields["temperature"].setText("0.3")
    asked.panel._system.setPlainText("Be brief.")
    asked.save()
    desk.until(lambda: fake.bodies("/api/create"))
    [sent] = fake.bodies("/api/create")
    assert (sent["from"], sent["system"]) == ("smollm2:latest", "Be brief.")
    assert sent["parameters"]["temperature"] == 0.3
    desk.until(lambda: ended == [DefaultsDialog.DialogCode.Accepted])


def test_a_default_that_is_emptied_is_taken_back(desk, fake, page):
    page._do("defaults", page.grid.current)
    desk.until(lambda: page.findChild(DefaultsDialog) is not None)
    asked = page.findChild(DefaultsDialog)
    assert asked.panel._fields["temperature"].text() == "0.2"
    asked.panel._fields["temperature"].clear()
    asked.panel._fields["top_k"].setText("7")
    asked.save()
    desk.until(lambda: fake.bodies("/api/create"))
    [sent] = fake.bodies("/api/create")
    assert sent["parameters"] == {"top_k": 7, "stop": ["<|im_end|>"]}
    assert sent["unset"] == ["temperature"]
    desk.until(lambda: not page.findChildren(DefaultsDialog))


def test_a_parameter_that_goes_from_a_modelfile_goes_from_the_model():
    before = "FROM smollm2\nPARAMETER temperature 0.2\nPARAMETER stop a\n"
    gone = create_body("FROM smollm2\nPARAMETER top_k 3\n", before)
    assert gone == {"from": "smollm2", "parameters": {"top_k": 3}, "unset": ["stop", "temperature"]}
    assert "unset" not in create_body("FROM qwen3:4b\n", before)
    assert "unset" not in create_body(before, before)
    assert "unset" not in create_body(before, "no Modelfile")


def test_the_tensors_are_asked_for_when_somebody_looks(desk, fake, page):
    assert not any(body.get("verbose") for body in fake.bodies("/api/show"))
    tabs = page.details.tabs
    tensors = page.details.tensors
    tabs.setCurrentWidget(tensors)
    desk.until(lambda: tensors.table.rowCount() == 1)
    row = [tensors.table.index(0, column).data() for column in range(4)]
    assert row == ["token_embd.weight", "Q4_1", "576 x 49,152", "18 MB"]
    assert tensors.words.text() == "Tensors: 1  ·  Q4_1 18 MB"
    tensors.search.setText("no such")
    assert tensors.words.text() == "Tensors: 0"
    assert len([body for body in fake.bodies("/api/show") if body.get("verbose")]) == 1


def test_what_was_measured_of_a_type_stands_beside_it(desk, fake, page):
    measured(fake, QUALITY)
    asked = dialog(page, QuantizeDialog, "quantize")
    desk.until(lambda: asked.is_planned and asked.quality.isVisible())
    told = "same first choice in 97.2%  ·  divergence 0.0123"
    assert asked.quality.accessibleDescription() == f"Q8_0: {told}"
    rows = {one.kind: quality_text(one) for one in asked.plan.targets}
    assert rows["Q8_0"] == f"Measured: {told}"
    assert rows["Q2_K"] == "Much worse; for when nothing else fits."


def test_without_measurements_the_words_say_how_to_get_them(desk, fake, page):
    measured(fake, replace(QUALITY, source="another:model"))
    asked = dialog(page, QuantizeDialog, "quantize")
    desk.until(lambda: asked.is_planned)
    desk.settled()
    assert asked.quality.isHidden()
    assert "can be measured in the library" in asked.quality_words.text()


def test_a_damaged_model_stands_in_the_table(desk, fake, page):
    bad = {"model": "smollm2:latest", "file": "x", "reason": "its file is gone", "hint": ""}
    last = {"status": "success", "models": 1, "size": 0}
    column = next(n for n, one in enumerate(page.table.columns) if one.heading == "Files")

    def told():
        return page.table.index(0, column).data()

    assert told() == ""  # nobody looked yet
    fake.script.kept.streams["/api/verify"] = [last | {"faults": [bad | {"bad_bytes": 4}]}]
    page.care.scan()
    desk.until(lambda: told() == "Damaged")
    assert page.table.index(0, column).data(Qt.ItemDataRole.ToolTipRole) == "its file is gone"
    fake.script.kept.streams["/api/verify"] = [last | {"faults": []}]
    page.care.scan()
    desk.until(lambda: told() == "Complete")


def test_files_are_checked_and_mended(desk, fake, page):
    whole = {"status": "success", "models": 1, "size": 91_000_000, "faults": []}
    bad = {"model": "smollm2:latest", "file": "x", "reason": "4 bytes differ", "hint": ""}
    fake.script.kept.streams["/api/verify"] = [whole | {"faults": [bad | {"bad_bytes": 4}]}]
    mended = {"status": "success", "model": "smollm2", "files": 1, "size": 9, "fetched": 4}
    fake.script.kept.streams["/api/repair"] = [mended]
    page._do("verify", page.grid.current)
    desk.until(lambda: "4 bytes differ" in page.banner.text)
    click(page.banner.action)
    desk.until(lambda: "whole again: 4 B fetched" in page.banner.text)
    fake.script.kept.streams["/api/verify"] = [{"status": "checking"}, whole]
    page._do("verify", page.grid.current)
    desk.until(lambda: "is whole: 91 MB" in page.banner.text)
    fake.script.kept.streams["/api/verify"] = [{"error": "gone", "code": "store_failed"}]
    page._do("verify", page.grid.current)
    desk.until(lambda: "cannot be checked: gone" in page.banner.text)
