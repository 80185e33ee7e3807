"""Bundles: the same answers after a round trip, every damage refused by name, no code ever run."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file, save_file

from quintet import bundle as module
from quintet import load
from quintet.bundle import MANIFEST, SCHEMA_VERSION, BundleFiles, read_bundle, write_bundle
from quintet.errors import BundleError, CorruptBundleError, SchemaVersionError

FILES = [
    "weights.safetensors",
    "features.safetensors",
    "memories.safetensors",
    "events.parquet",
    "items.parquet",
    "users.parquet",
    "run.json",
    "card.md",
]


@pytest.fixture(scope="module")
def whole(fitted, tmp_path_factory) -> Path:
    """A saved model; copied by the tests that damage it."""
    return fitted.save(tmp_path_factory.mktemp("bundle") / "market")


@pytest.fixture
def bundle(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "market"))


def sign(bundle: Path) -> None:
    """Make the manifest fit the files, as an attacker would."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    for name in manifest:
        manifest[name] = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
    (bundle / MANIFEST).write_text(json.dumps(manifest))


# ---------------------------------------------------------------- round trip


def test_a_round_trip_changes_no_answer(fitted, whole) -> None:
    again = load(whole)
    old, new = fitted.recommender, again.recommender
    events = old.trained.events
    for name in ("offsets", "item", "time", "behaviour", "scenario", "value"):
        np.testing.assert_array_equal(getattr(new.trained.events, name), getattr(events, name))
    one, other = (r.rank(r.trained.events, 20) for r in (old, new))
    np.testing.assert_array_equal(other.items_BK, one.items_BK)
    np.testing.assert_allclose(other.scores_BK, one.scores_BK, rtol=1e-5, atol=1e-5)
    users, items = old.trained.users.ids([0, 7]), old.trained.items.ids([3, 9])
    pairs = list(zip([*users, "nobody"], [*items, items[0]], strict=True))
    before, after = (r.predict(pairs).to_pydict() for r in (old, new))
    for name in before:
        assert after[name] == pytest.approx(before[name], abs=1e-6)
    for user in users:
        assert new.profile(user) == old.profile(user)
    assert new.similar(items[0]) == old.similar(items[0])
    assert new.describe(items) == old.describe(items)
    assert new.recommend(users, 5, slate=True) == old.recommend(users, 5, slate=True)
    assert new.recommend(users[:1], 2, reasons=True) == old.recommend(users[:1], 2, reasons=True)


def test_a_second_save_writes_the_same_files(whole, tmp_path) -> None:
    again = load(whole).save(tmp_path / "again")
    for name in FILES:
        if name.endswith("safetensors"):
            one, other = load_file(whole / name), load_file(again / name)
            assert one.keys() == other.keys()
            for key in one:
                np.testing.assert_array_equal(one[key], other[key])
        else:
            assert (whole / name).read_bytes() == (again / name).read_bytes()


def test_the_folder_holds_what_is_promised(whole) -> None:
    assert sorted(path.name for path in whole.iterdir()) == sorted([*FILES, MANIFEST])
    assert set(json.loads((whole / MANIFEST).read_text())) == set(FILES)
    assert "60" in (whole / "card.md").read_text()


# ---------------------------------------------------------------- damage


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, empty, flip, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_refused_by_the_name_of_the_file(bundle, name, damage) -> None:
    damage(bundle / name)
    with pytest.raises(CorruptBundleError, match=name):
        load(bundle)


@pytest.mark.parametrize("damage", [truncate, empty, Path.unlink])
def test_a_damaged_manifest_is_refused(bundle, damage) -> None:
    damage(bundle / MANIFEST)
    with pytest.raises(CorruptBundleError, match=MANIFEST):
        load(bundle)


def test_no_bit_of_the_manifest_can_be_flipped_unnoticed(bundle) -> None:
    """A name, a digest or the punctuation: what no longer fits is refused."""
    data = (bundle / MANIFEST).read_bytes()
    for place in range(0, len(data), 41):
        if data[place : place + 1].isspace():
            continue
        changed = bytearray(data)
        changed[place] ^= 1
        (bundle / MANIFEST).write_bytes(changed)
        with pytest.raises(CorruptBundleError, match=str(bundle)):
            read_bundle(bundle)


@pytest.mark.parametrize("name", ["../outside.parquet", "/etc/hostname", "sub/x.safetensors", ".."])
def test_a_name_that_leads_out_of_the_folder_is_refused(bundle, name) -> None:
    outside = bundle.parent / "outside.parquet"
    outside.write_bytes(b"secret")
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest[name] = hashlib.sha256(b"secret").hexdigest()
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CorruptBundleError):
        load(bundle)


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"run.json": 3, "card.md": "x"}'])
def test_a_manifest_of_something_else_is_refused(bundle, text) -> None:
    (bundle / MANIFEST).write_text(text)
    with pytest.raises(CorruptBundleError, match=MANIFEST):
        load(bundle)


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, None, "1"])
def test_another_schema_version_is_refused(bundle, version) -> None:
    run = json.loads((bundle / "run.json").read_text())
    (bundle / "run.json").write_text(json.dumps({**run, "schema_version": version}))
    sign(bundle)
    with pytest.raises(SchemaVersionError, match=f"schema version {version}"):
        load(bundle)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_refused(bundle, value) -> None:
    weights = load_file(bundle / "weights.safetensors")
    name = next(key for key, array in weights.items() if array.ndim == 2)
    weights[name][0, 0] = value
    save_file(weights, bundle / "weights.safetensors")
    sign(bundle)
    with pytest.raises(CorruptBundleError, match="not finite"):
        load(bundle)


def test_a_missing_or_misshapen_weight_is_refused(bundle) -> None:
    weights = load_file(bundle / "weights.safetensors")
    name = next(key for key, array in weights.items() if array.ndim == 2)
    for changed in (weights[name][:-1], None):
        rest = {key: array for key, array in weights.items() if key != name}
        save_file(
            rest if changed is None else {**rest, name: changed}, bundle / "weights.safetensors"
        )
        sign(bundle)
        with pytest.raises(CorruptBundleError, match="do not fit together"):
            load(bundle)


def test_a_group_that_the_manifest_leaves_out_is_refused(bundle) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    del manifest["memories.safetensors"]
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CorruptBundleError, match="memories"):
        load(bundle)


# ---------------------------------------------------------------- no code


class Payload:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.fixture
def payload(tmp_path) -> tuple[bytes, Path]:
    """A pickle that works, and the mark that it leaves."""
    mark = tmp_path / "opened"
    data = pickle.dumps(Payload(mark))
    pickle.loads(data)
    assert mark.exists()
    mark.unlink()
    return data, mark


def test_a_pickle_among_the_files_is_never_opened(bundle, payload) -> None:
    data, mark = payload
    (bundle / "model.pkl").write_bytes(data)
    load(bundle)
    manifest = json.loads((bundle / MANIFEST).read_text()) | {"model.pkl": ""}
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    sign(bundle)
    load(bundle)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "events.parquet", "run.json"])
def test_a_pickle_under_the_name_of_a_file_is_refused(bundle, payload, name) -> None:
    data, mark = payload
    (bundle / name).write_bytes(data)
    sign(bundle)
    with pytest.raises(CorruptBundleError, match=name):
        load(bundle)
    assert not mark.exists()


# ---------------------------------------------------------------- writing


def small(card: str) -> BundleFiles:
    """Three little files."""
    return BundleFiles(
        {"weights": {"w": np.arange(3.0)}}, {"events": pa.table({"user": [1, 2]})}, {"a": 1}, card
    )


def hidden(folder: Path) -> list[str]:
    """What was left behind."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_plain_data_comes_back(tmp_path) -> None:
    target = write_bundle(tmp_path / "deep" / "small", small("# card ü"))
    files = read_bundle(target)
    np.testing.assert_array_equal(files.arrays["weights"]["w"], np.arange(3.0))
    assert files.tables["events"]["user"].to_pylist() == [1, 2]
    assert files.run["a"] == 1
    assert files.card == "# card ü"


def test_an_older_bundle_is_replaced_and_nothing_left_beside_it(tmp_path) -> None:
    for card in ("one", "two"):
        write_bundle(tmp_path / "small", small(card))
    assert read_bundle(tmp_path / "small").card == "two"
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("step", ["_fill", "_digest", "write_table", "save_arrays"])
def test_a_crash_between_writes_leaves_the_old_bundle(tmp_path, monkeypatch, step) -> None:
    write_bundle(tmp_path / "small", small("one"))

    def crash(*_args, **_kwargs):
        raise OSError("no space left on device")

    holder = module.pq if step == "write_table" else module
    with monkeypatch.context() as patched:
        patched.setattr(holder, step, crash)
        with pytest.raises(OSError, match="no space"):
            write_bundle(tmp_path / "small", small("two"))
    assert read_bundle(tmp_path / "small").card == "one"
    assert hidden(tmp_path) == []


def test_a_failed_swap_puts_the_old_bundle_back(tmp_path, monkeypatch) -> None:
    write_bundle(tmp_path / "small", small("one"))
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if "former" not in target.name and "former" not in self.name:
            raise OSError("device or resource busy")
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", failing)
        with pytest.raises(OSError, match="busy"):
            write_bundle(tmp_path / "small", small("two"))
    assert read_bundle(tmp_path / "small").card == "one"
    assert hidden(tmp_path) == []


def test_a_machine_that_stopped_within_the_swap_still_has_the_old_bundle(tmp_path) -> None:
    target = write_bundle(tmp_path / "small", small("one"))
    target.rename(tmp_path / ".small.former")
    assert read_bundle(target).card == "one"
    write_bundle(target, small("two"))
    assert read_bundle(target).card == "two"
    assert hidden(tmp_path) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="holds other files"):
        write_bundle(tmp_path, small("card"))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_no_bundle_no_answer(tmp_path) -> None:
    with pytest.raises(BundleError, match="no bundle there"):
        load(tmp_path / "nothing")
    with pytest.raises(CorruptBundleError, match=MANIFEST):
        load(tmp_path)
