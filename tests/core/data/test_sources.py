"""Every kind of input gives its documents, and what is not such an input is refused in words."""

import json
from pathlib import Path
from typing import Any

import pytest

from think.core import plugins
from think.core.data.inputs import sources_for
from think.core.data.pack import survey
from think.core.data.settings import FAMILY, DataSettings
from think.core.data.sources import Document, Reading, _records, text
from think.core.data.sources.chat import Settings as Chat
from think.core.data.sources.dataset import Settings as Dataset
from think.core.data.sources.jsonl import Settings as Jsonl
from think.core.data.sources.parquet import Settings as Parquet
from think.core.data.sources.text import Settings as Text
from think.core.errors import BadData, BadSettings, Missing, UsageError

ROWS = [{"text": f"row {number}", "other": "x", "number": number} for number in range(700)]


def read(settings: Any, split_on: Any = "file") -> list[str]:
    spec = plugins.load(FAMILY, settings.kind)
    found = []
    for document in spec.documents(settings, Reading(split_on)):
        found.append(document.text if isinstance(document.text, str) else "".join(document.text))
    return found


def refused(settings: Any, kind: type[BadData] = BadData) -> BadData:
    with pytest.raises(kind) as caught:
        read(settings)
    assert caught.value.remedy
    return caught.value


# ---- text -----------------------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.txt", "a.md", "sub/c.txt", "d.bin"):
        (tmp_path / name).write_text(name)
    assert read(Text(path=str(tmp_path))) == ["a.md", "b.txt", "sub/c.txt"]


def test_line_ends_stay_and_the_byte_order_mark_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read(Text(path=str(path))) == ["one\r\ntwo\rthree\n"]
    path.write_bytes("größe".encode("utf-16"))
    assert read(Text(path=str(path), encoding="utf-16")) == ["größe"]


def test_a_wrong_encoding_names_the_byte_and_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    content = "ä" * 30 + "x"
    path.write_bytes(content.encode() + b"\xe4rger")
    for block in (1 << 20, 7):
        monkeypatch.setattr(text, "BLOCK_BYTES", block)
        error = refused(Text(path=str(path)))
        assert "offset 61" in error.what
        assert "--encoding latin-1" in (error.remedy or "")
        assert error.where == str(path)
    assert read(Text(path=str(path), encoding="latin-1"))[0].endswith("ärger")
    with pytest.raises(BadSettings, match="no encoding named"):
        read(Text(path=str(path), encoding="klingon"))


def test_a_character_cut_off_at_the_end_of_the_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("漢".encode()[:2])
    assert "offset 0" in refused(Text(path=str(path))).what


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"text\0more")
    assert "NUL" in refused(Text(path=str(path))).what
    path.write_bytes(b"\xff\x00\x01")
    assert "binary" in str(refused(Text(path=str(path))).remedy)


def test_utf_16_is_recognised_by_its_mark(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("größe".encode("utf-16"))
    assert "--encoding utf-16" in str(refused(Text(path=str(path))).remedy)


def test_missing_and_empty(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        read(Text(path=str(tmp_path / "none.txt")))
    with pytest.raises(Missing, match="no file of this kind"):
        read(Text(path=str(tmp_path)))
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(BadData, match="no text"):
        survey([Text(path=str(tmp_path))], DataSettings())


def test_what_is_not_consumed_of_a_document_is_not_in_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", 4)
    (tmp_path / "a.txt").write_text("a" * 50 + "\n" + "b" * 50 + "\nc")
    spec = plugins.load(FAMILY, "text")
    seen: list[Document] = list(spec.documents(Text(path=str(tmp_path)), Reading("record")))
    assert len(seen) == 3
    assert read(Text(path=str(tmp_path)), "record") == ["a" * 50, "b" * 50, "c"]


# ---- records --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1 << 20, 5])
@pytest.mark.parametrize("array", [False, True])
def test_json_lines_and_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, array: bool) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    path = tmp_path / "a.json"
    rows = ROWS[:60]
    path.write_text(json.dumps(rows, indent=1) if array else "\n\n".join(map(json.dumps, rows)) + "\n")
    assert read(Jsonl(path=str(path))) == [row["text"] for row in rows]
    assert read(Jsonl(path=str(path), fields=("other", "text")))[3] == "x\nrow 3"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"text": "x"', "not JSON"),
        ("[1, 2", "not JSON"),
        ('"text"', "str, not an object"),
        ('{"words": "x"}', "'text' is missing"),
        ('{"text": 3}', "'text' is int"),
        ('{"text": "\\ud800"}', "surrogate"),
        ("[" * 100000, "not JSON"),
    ],
)
def test_a_bad_record_is_named(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "good"}\n' + line)
    error = refused(Jsonl(path=str(path)))
    assert what in error.what
    assert error.where == f"{path}:2"


def test_the_error_of_a_missing_field_names_one_that_holds_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"number": 1, "question": "why?"}')
    assert "--field question" in (refused(Jsonl(path=str(tmp_path))).remedy or "")


def test_a_record_that_never_ends_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", 64)
    monkeypatch.setattr(_records, "LONGEST_RECORD", 300)
    for content in ('{"text": "' + "x" * 2000, '[{"text": "' + "x" * 2000):
        (tmp_path / "a.json").write_text(content)
        refused(Jsonl(path=str(tmp_path)))


@pytest.mark.parametrize(
    "record",
    [
        {"text": "no messages"},
        {"messages": []},
        {"messages": ["hello"]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "bot", "content": "hello"}]},
    ],
)
def test_a_bad_conversation_is_named(tmp_path: Path, record: dict[str, Any]) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(record))
    assert str(tmp_path / "a.jsonl") in (refused(Chat(path=str(tmp_path))).where or "")


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, row_group_size=100)
    assert read(Parquet(path=str(path))) == [row["text"] for row in ROWS]
    assert "'nothing' is missing" in refused(Parquet(path=str(path), fields=("nothing",))).what
    path.write_bytes(path.read_bytes()[:-9])
    assert "no parquet file" in refused(Parquet(path=str(path))).what


def test_a_dataset_on_the_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "rows"
    rows = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": rows, "test": rows.select(range(3))}).save_to_disk(folder)
    assert read(Dataset(name=str(folder))) == [row["text"] for row in ROWS]
    assert len(read(Dataset(name=str(folder), split="test"))) == 3
    assert "no split 'dev'" in refused(Dataset(name=str(folder), split="dev")).what
    first, second = (plugins.load(FAMILY, "dataset").origins(Dataset(name=str(folder))) for _ in range(2))
    assert first == second


def test_a_dataset_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def unreachable(*given: object, **named: object) -> None:
        raise ConnectionError("Couldn't reach 'nobody/nothing' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(Missing, match="cannot be fetched") as caught:
        read(Dataset(name="nobody/nothing"))
    assert "local folder" in (caught.value.expected or "")


# ---- what a name on the command line means --------------------------------------------------------------------------


def test_the_kind_follows_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.jsonl").write_text('{"text": "x"}')
    (tmp_path / "c.jsonl").write_text('{"messages": [{"role": "user", "content": "x"}]}')
    (tmp_path / "README").write_text("x")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "d.parquet").write_bytes(b"")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "state.json").write_text("{}")
    names = ["a.txt", "b.jsonl", "c.jsonl", "README", "rows", "saved"]
    found = sources_for([str(tmp_path / name) for name in names] + ["owner/name"], encoding="latin-1", fields=["text"])
    assert [table["kind"] for table in found] == ["text", "jsonl", "chat", "text", "parquet", "dataset", "dataset"]
    assert found[0]["encoding"] == "latin-1"
    assert found[1]["fields"] == ["text"]
    with pytest.raises(UsageError, match="several kinds"):
        sources_for([str(tmp_path)])


def test_options_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    path = str(tmp_path / "a.txt")
    assert [table["weight"] for table in sources_for([path, path], weights=[0.6, 0.4])] == [0.6, 0.4]
    for options in ({"weights": [1.0]}, {"fields": ["text"]}, {"split": "train"}):
        with pytest.raises(UsageError):
            sources_for([path, path], **options)  # type: ignore[arg-type]
    for missing in ("nothing.txt", "./nothing", "/no/such/folder/"):
        with pytest.raises(Missing):
            sources_for([missing])
