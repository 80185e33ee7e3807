"""``quintet export-vectors`` and the shared attributes of ``quintet similar``."""

import json

import numpy as np
import pyarrow.parquet as pq

from tests.cli.running import done, quintet


def test_one_vector_an_item_as_parquet(bundle, tmp_path):
    out = tmp_path / "items.parquet"
    run = done("export-vectors", bundle, "--out", out)
    assert "50 items, 16 dimensions" in run.err
    table = pq.read_table(out)
    assert table.column_names == ["item_id", "events", "vector"]
    vector = np.array(table["vector"].to_pylist())
    assert vector.shape == (50, 16)
    ids = table["item_id"].to_pylist()
    near = done("similar", bundle, ids[4], "--k", 1, "--format", "json").json[0]
    unit = vector / np.linalg.norm(vector, axis=1, keepdims=True)
    cosine = unit @ unit[4]
    cosine[4] = -2
    assert near["item_id"] == ids[int(cosine.argmax())]
    assert abs(near["similarity"] - cosine.max()) < 1e-3


def test_what_similar_items_share_is_named(bundle):
    rows = done("similar", bundle, "i3", "--k", 5, "--format", "json").json
    named = json.dumps([row["shared"] for row in rows])
    assert "category" in named
    assert "category: " in done("similar", bundle, "i3", "--k", 5).out


def test_what_cannot_be_written_is_refused(bundle, tmp_path):
    assert quintet("export-vectors", bundle, "--out", tmp_path / "items.csv").code == 2
    run = quintet("export-vectors", bundle, "--out", tmp_path / "i.parquet", "--kind", "user")
    assert run.code == 2
    assert "joint, identity, content" in run.err
