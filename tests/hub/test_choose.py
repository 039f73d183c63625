"""Which file a tag means: properties over listings as repositories have them, and known cases."""

import pytest
from hypothesis import given, strategies as st

from runner.errors import NotOnHub
from runner.hub.choose import RepoFile, choose, fits, variants

GB = 10**9
SIZES = {"IQ2_M": 2, "Q3_K_S": 3, "Q4_0": 4, "Q4_K_M": 5, "Q5_K_M": 6, "Q6_K": 7, "Q8_0": 9}
NOISE = [
    RepoFile("README.md", 2000),
    RepoFile(".gitattributes", 1000),
    RepoFile("m.imatrix.gguf", 5_000_000, "1" * 64),
    RepoFile("imatrix_unsloth.dat", 5_000_000, "2" * 64),
    RepoFile("config.json", 500),
]


def repo(*paths, gb=None):
    return [RepoFile(path, (gb or 1) * GB, f"{i:064x}") for i, path in enumerate(paths)]


@st.composite
def listings(draw):
    """A model in some quantizations: as files, sets of shards, or folders, with noise between."""
    labels = draw(st.lists(st.sampled_from(sorted(SIZES)), min_size=1, unique=True))
    files = list(NOISE[: draw(st.integers(0, len(NOISE)))])
    for label in labels:
        shown = label.lower() if draw(st.booleans()) else label
        size = SIZES[label] * GB
        match draw(st.sampled_from(["file", "shards", "folder", "folder of shards"])):
            case "file":
                files.append(RepoFile(f"Model-7B-{shown}.gguf", size))
            case "folder":
                files.append(RepoFile(f"{shown}/Model-7B-{shown}.gguf", size))
            case form:
                folder = f"{shown}/" if form.startswith("folder") else ""
                n_all = draw(st.integers(2, 12))
                files += [
                    RepoFile(f"{folder}Model-7B-{shown}-{n:05d}-of-{n_all:05d}.gguf", size // n_all)
                    for n in range(1, n_all + 1)
                ]
    return labels, draw(st.permutations(files))


@given(listings(), st.booleans())
def test_a_quantization_means_its_files_in_order_whatever_the_case(listing, lower):
    labels, files = listing
    for label in labels:
        choice = choose(files, label.lower() if lower else label)
        assert choice.variant.quantization == label
        assert choice.variant.is_complete
        paths = [file.path for file in choice.variant.files]
        assert paths == sorted(paths)
        assert all("imatrix" not in path for path in paths)


@given(listings(), st.integers(1, 20))
def test_without_a_tag_the_choice_fits_if_any_does(listing, gb):
    labels, files = listing
    chosen = choose(files, memory_bytes=gb * GB)
    there = variants(files)
    assert len(there) == len(labels)
    if any(fits(variant.n_bytes, gb * GB) for variant in there):
        assert fits(chosen.variant.n_bytes, gb * GB)
    else:
        assert chosen.variant == there[0]
    assert chosen.reason


@given(listings())
def test_q4_k_m_is_the_choice_wherever_all_fit(listing):
    labels, files = listing
    if "Q4_K_M" in labels:
        assert choose(files).variant.quantization == "Q4_K_M"


@given(listings(), st.sampled_from(sorted(SIZES)), st.randoms(use_true_random=False))
def test_a_set_with_a_missing_shard_is_never_chosen(listing, label, random):
    labels, files = listing
    sharded = [file for file in files if "-of-" in file.path]
    if not sharded:
        return
    gone = random.choice(sharded)
    left = [file for file in files if file != gone]
    broken = next(v for v in variants(files) if gone in v.files)
    with pytest.raises(NotOnHub, match="parts of"):
        choose(left, broken.quantization)
    if len(labels) > 1:
        assert choose(left).variant.quantization != broken.quantization


@given(st.lists(st.text(st.sampled_from("aQ4_KM-/.0123gufmproj"), max_size=30), max_size=8))
def test_any_listing_gives_a_choice_or_a_reason(paths):
    files = [RepoFile(path, 10) for path in paths]
    for tag in ("latest", "Q4_K_M", "a"):
        try:
            choice = choose(files, tag)
        except NotOnHub as error:
            assert error.message and error.hint
        else:
            assert choice.variant.is_complete
            assert all(file in files for file in choice.variant.files)


@pytest.mark.parametrize(
    ("paths", "tag", "chosen"),
    [
        (["m-Q4_K_M.gguf", "m-Q8_0.gguf"], "m-q8_0.gguf", "m-Q8_0.gguf"),
        (["m-Q4_K_M.gguf", "m-Q8_0.gguf"], "M-Q8_0", "m-Q8_0.gguf"),
        (["m.gguf"], "latest", "m.gguf"),
        (["m-UD-Q4_K_XL.gguf", "m-Q8_0.gguf"], "Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
        (["m-UD-Q4_K_XL.gguf", "m-Q4_K_XL.gguf"], "Q4_K_XL", "m-Q4_K_XL.gguf"),
        (["m-fp16.gguf", "m-Q8_0.gguf"], "f16", "m-fp16.gguf"),
        (["m-Q8_0.gguf", "m-Q5_K_M.gguf"], "latest", "m-Q5_K_M.gguf"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "b", "b-Q8_0.gguf"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "b-q8_0", "b-Q8_0.gguf"),
        (["BF16/m.gguf", "Q4_K_M/m.gguf"], "q4_k_m", "Q4_K_M/m.gguf"),
    ],
)
def test_what_a_tag_means(paths, tag, chosen):
    assert choose(repo(*paths), tag).variant.files[0].path == chosen


def test_a_file_named_by_its_path_is_taken_with_all_its_shards():
    files = repo("a/m-Q8_0-00001-of-00002.gguf", "a/m-Q8_0-00002-of-00002.gguf", "m-Q8_0.gguf")
    choice = choose(files, "Q8_0", file="a/m-Q8_0-00002-of-00002.gguf")
    assert [file.path for file in choice.variant.files] == [file.path for file in files[:2]]


@pytest.mark.parametrize(
    ("paths", "tag", "message", "hint"),
    [
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "latest", "several models: a-Q8_0, b-Q8_0", "the tag"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "Q8_0", "several models", "the tag"),
        (["m-Q4_K_M.gguf"], "Q4_K_S", "has no 'Q4_K_S'", "did you mean 'Q4_K_M'?"),
        (["model.safetensors"], "latest", "holds no GGUF", "-GGUF"),
        (["README.md"], "latest", "holds no GGUF", "corral search"),
        (["m-Q8_0-00001-of-00003.gguf"], "Q8_0", "1 of the 3 parts", "later"),
        (["mmproj-F16.gguf", "x.imatrix.gguf"], "latest", "holds no GGUF", "search"),
    ],
)
def test_what_cannot_be_chosen_says_what_is_there(paths, tag, message, hint):
    with pytest.raises(NotOnHub, match=message) as caught:
        choose(repo(*paths), tag, where="hf.co/a/b")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("projectors", "chosen"),
    [
        (["mmproj-F32.gguf", "mmproj-F16.gguf"], "mmproj-F16.gguf"),
        (["mmproj-m-bf16.gguf", "mmproj-m-Q8_0.gguf"], "mmproj-m-bf16.gguf"),
        (["m.mmproj-f16.gguf"], "m.mmproj-f16.gguf"),
        (["other/mmproj-F16.gguf"], None),
        (["Q4_K_M/mmproj-F32.gguf", "mmproj-F16.gguf"], "Q4_K_M/mmproj-F32.gguf"),
        ([], None),
    ],
)
def test_the_projector_of_a_model(projectors, chosen):
    choice = choose(repo("Q4_K_M/m-Q4_K_M.gguf", *projectors), "q4_k_m")
    assert (choice.projector.path if choice.projector else None) == chosen


def test_the_reason_names_the_memory_when_it_decided():
    files = [RepoFile(f"m-{label}.gguf", gb * GB) for label, gb in SIZES.items()]
    choice = choose(files, memory_bytes=6 * GB)
    assert choice.variant.quantization == "Q4_0"
    assert choice.reason == "the largest that fits 6.0 GB of memory; Q4_K_M does not"
