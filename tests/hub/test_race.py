"""Which of several hubs a model comes from, and what is said when none has it."""

import threading

import pytest

from runner.domain.name import ModelName
from runner.errors import AccessDenied, NotOnHub, RateLimited, SourceError
from runner.hub.catalogue import Catalogue
from runner.hub.mirrored import MirroredSource
from runner.hub.nowhere import nowhere
from runner.hub.race import Faster, first_of
from runner.hub.source import RemoteFile

HF, MS = ModelName.parse("hf.co/own/tiny:Q4_0"), ModelName.parse("modelscope.cn/me/tiny:Q4_0")


class Place:
    """A source that answers when it may: with one file of its name, or an error."""

    def __init__(self, error=None, after=None):
        self.error, self.after, self.asked = error, after, []

    def claims(self, name):
        return True

    def resolve(self, name):
        self.asked.append(name)
        if self.after is not None:
            assert self.after.wait(60)
        if self.error is not None:
            raise self.error
        return [RemoteFile(str(name), "https://h/f", is_local=False, n_bytes=1, sha256="a" * 64)]


def test_the_faster_one_wins_and_is_remembered_for_hours():
    now, is_over = [0.0], threading.Event()

    class Told(Faster):
        def won(self, host):
            super().won(host)
            is_over.set()

    faster = Told(clock=lambda: now[0])
    files, others = first_of("tiny", [(Place(after=is_over), HF), (Place(), MS)], faster)
    assert files[0].name == str(MS)
    assert [file.name for file in others] == [str(HF)]
    assert faster.host == "modelscope.cn"

    files, _ = first_of("tiny", [(Place(), HF), (Place(), MS)], faster)
    assert files[0].name == str(MS), "without a race"

    now[0] += 7 * 3600
    assert faster.host == ""


def test_a_remembered_one_that_fails_is_replaced():
    faster = Faster()
    faster.won("modelscope.cn")
    down = Place(SourceError("modelscope.cn cannot be reached"))
    assert first_of("tiny", [(Place(), HF), (down, MS)], faster)[0][0].name == str(HF)
    assert faster.host == "hf.co"


def test_without_a_race_order_counts():
    first = Place(after=None)
    files, _ = first_of("tiny", [(first, HF), (Place(), MS)], None)
    assert files[0].name == str(HF)


def test_when_all_fail_each_hub_is_named_with_its_reason():
    asked = [
        (Place(SourceError("hf.co cannot be reached at x: refused", hint="check the network")), HF),
        (Place(NotOnHub("there is no such thing", hint="check the spelling")), MS),
    ]
    with pytest.raises(SourceError) as caught:
        first_of("tiny", asked, Faster())
    assert type(caught.value) is SourceError
    assert caught.value.message == (
        "none of 2 places has tiny: hf.co cannot be reached at x: refused;"
        " modelscope.cn: there is no such thing"
    )
    assert caught.value.hint == "check the network; check the spelling"


def test_a_bug_in_a_source_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        first_of("tiny", [(Place(ZeroDivisionError()), HF), (Place(NotOnHub("no")), MS)], Faster())


def test_what_all_say_alike_keeps_its_kind():
    failures = [(HF, RateLimited("hf.co a", hint="h")), (MS, RateLimited("modelscope.cn b"))]
    assert type(nowhere("x", failures)) is RateLimited
    assert nowhere("x", failures).hint == "h"
    assert nowhere("x", failures[:1]) is failures[0][1]


# A full name, and the mirror that the catalogue knows


@pytest.fixture
def catalogue(tmp_path):
    (tmp_path / "tiny").mkdir()
    entry = "FROM hf.co/Own/Tiny:Q8_0\nMIRROR modelscope.cn/me/tiny:Q8_0\n"
    (tmp_path / "tiny" / "1b").write_text(entry)
    return Catalogue([tmp_path])


def test_a_hub_that_is_down_is_stood_in_for_by_the_catalogues_mirror(catalogue):
    """With the quantization that was asked for, and the fact is told."""
    mirror = Place()
    down = Place(SourceError("hf.co cannot be reached"))
    (file,) = MirroredSource(down, catalogue, {"modelscope.cn": mirror}).resolve(HF)
    assert mirror.asked == [MS]
    assert file.recipe.note == "hf.co does not answer, modelscope.cn/me/tiny stands in"


@pytest.mark.parametrize("error", [NotOnHub("no"), AccessDenied("gated")])
def test_a_hub_that_answers_no_is_believed(catalogue, error):
    mirror = Place()
    with pytest.raises(type(error)):
        MirroredSource(Place(error), catalogue, {"modelscope.cn": mirror}).resolve(HF)
    assert not mirror.asked


@pytest.mark.parametrize("name", ["hf.co/own/other:Q4_0", "hf.co/own/tiny:Q4_0@v1"])
def test_nobody_stands_in_for_what_the_catalogue_does_not_name(catalogue, name):
    mirror = Place()
    source = MirroredSource(Place(SourceError("down")), catalogue, {"modelscope.cn": mirror})
    with pytest.raises(SourceError, match=r"^down$"):
        source.resolve(ModelName.parse(name))
    assert not mirror.asked


def test_both_down_names_both(catalogue):
    mirror = Place(SourceError("answered 500"))
    source = MirroredSource(Place(SourceError("hf.co down")), catalogue, {"modelscope.cn": mirror})
    with pytest.raises(SourceError, match=r"hf\.co down; modelscope\.cn: answered 500"):
        source.resolve(HF)
