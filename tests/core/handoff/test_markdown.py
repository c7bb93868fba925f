"""A backlog in Markdown: what is read from it, and mistakes that name their line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.core.errors import BadData, Missing, ThinkError
from think.core.handoff import markdown

WHOLE = """\
\ufeff# Find the best mix

Anything here is for people.

## Rules
- Nothing larger than 8 M
  before it is shown.

## Claims
- Attention helps

## Deprecated references
- `1B_mix.txt`: never made

## T1: Split the data
Nobody sees overfitting.
And nobody looks.

### Details
- why: the loss lies.
- check: python -m pytest -q "tests/a b.py"
- check (exit 1, 2 min): ["grep", "-q", "a|b", "x.py"]
- gate (90 s): g3.6 run=tiny
* files: a.py, `src/*.py`

```
- check: this is an example, not a check
```

## T2 Train
- depends: T1
- gate: g1 preset=cpu_smoke
"""


def read(text, known=None):
    return markdown.parse(text, "b.md", known or {})


def test_everything_a_backlog_can_say(tmp_path):
    path = tmp_path / "b.md"
    path.write_text(WHOLE.replace("\n", "\r\n"), encoding="utf-8")
    found = markdown.read(path)
    assert found.title == "Find the best mix"
    assert found.rules == ["Nothing larger than 8 M before it is shown."]
    assert found.claims == ["Attention helps"]
    assert found.deprecated == [{"reference": "1B_mix.txt", "why": "never made"}]
    first, second = found.tasks
    assert (first["id"], first["title"]) == ("T1", "Split the data")
    assert first["why"].startswith("Nobody sees overfitting. And nobody looks. Details the loss lies.")
    assert first["files"] == ["a.py", "src/*.py"]
    words, listed, gate = first["checks"]
    assert (words["arguments"], words["exit"], words["seconds"]) == (
        ["python", "-m", "pytest", "-q", "tests/a b.py"],
        0,
        600.0,
    )
    assert (listed["arguments"], listed["exit"], listed["seconds"]) == (["grep", "-q", "a|b", "x.py"], 1, 120.0)
    assert (gate["gate"], gate["run"], gate["seconds"]) == ("g3.6", "tiny", 90.0)
    assert gate["arguments"] == ["think", "gate", "g3.6", "--run", "tiny"]
    assert second["checks"][0]["arguments"] == ["think", "gate", "g1", "--preset", "cpu_smoke"]
    assert (second["depends"], found.places) == (["T1"], {"T1": 15, "T2": 30})


TASK = "## T1 A\n- check: true\n"

MISTAKES = {
    "unknown key": (TASK + "- chekc: true\n", 3, "no key of a task"),
    "no key": (TASK + "- do it\n", 3, "has no key"),
    "doubled id": (TASK + "\n## T1 B\n- check: true\n", 4, "twice, first in line 1"),
    "itself": (TASK + "- depends: T1\n", 1, "depends on itself"),
    "circle": (TASK + "- depends: T2\n## T2 B\n- check: true\n- depends: T1\n", 1, "T1 -> T2 -> T1"),
    "longer circle": (
        TASK + "## T2 B\n- check: true\n- depends: T4\n## T3 C\n- check: true\n- depends: T2\n"
        "## T4 D\n- check: true\n- depends: T3\n",
        3,
        "T2 -> T4 -> T3 -> T2",
    ),
    "unknown dependency": (TASK + "- depends: T9\n", 1, "which is no task"),
    "in the log already": ("## K1 A\n- check: true\n", 1, "in the log already"),
    "no check": ("## T1 A\n- why: because\n", 1, "no acceptance check"),
    "no title": ("## T1\n- check: true\n", 1, "no title"),
    "no task": ("# Title\n\ntext\n", None, "no task in this file"),
    "heading": ("## Background of it all\n" + TASK, 1, "no task and no section"),
    "heading nearly": ("## Claim\n- x\n" + TASK, 1, "no task and no section"),
    "pipe": ("## T1 A\n- check: cat a | wc\n", 2, "without one"),
    "and": ("## T1 A\n- check: a && b\n", 2, "without one"),
    "redirection": ("## T1 A\n- check: a > b\n", 2, "without one"),
    "variable": ("## T1 A\n- check: ls $HOME\n", 2, "without one"),
    "substitution": ("## T1 A\n- check: echo $(id)\n", 2, "without one"),
    "pattern": ("## T1 A\n- check: ls *.py\n", 2, "without one"),
    "home": ("## T1 A\n- check: ls ~/x\n", 2, "without one"),
    "variable before": ("## T1 A\n- check: A=1 ls\n", 2, "without one"),
    "no gate": ("## T1 A\n- gate: list\n", 2, "there is no gate 'list'"),
    "open quote": ("## T1 A\n- check: echo 'a\n", 2, "no closing quotation"),
    "no JSON": ('## T1 A\n- check: ["a"\n', 2, '["a"'),
    "no words": ("## T1 A\n- check: []\n", 2, "[]"),
    "not all words": ('## T1 A\n- check: ["a", 1]\n', 2, '["a", 1]'),
    "time": ("## T1 A\n- check (60): true\n", 2, "says nothing"),
    "long": ("## T1 A\n- check (30 h): true\n", 2, "30 h"),
    "exit": ("## T1 A\n- check (exit 300): true\n", 2, "exit 300"),
    "options elsewhere": (TASK + "- files (60 s): a\n", 3, "nothing in brackets"),
    "gate": ("## T1 A\n- gate: g3 tiny\n", 2, "g3 tiny"),
    "empty": ("## T1 A\n- check:\n", 2, "says nothing"),
    "outside": (TASK + "- files: ../secret\n", 3, "../secret"),
    "absolute": (TASK + "- files: /etc/passwd\n", 3, "/etc/passwd"),
    "empty bullet": ("## Rules\n-  \n" + TASK, 2, "empty"),
    "no reason": ("## Deprecated references\n- a.txt\n" + TASK, 2, "gives no reason"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_names_its_line_and_what_was_expected(name):
    text, line, what = MISTAKES[name]
    with pytest.raises(BadData) as caught:
        read(text, {"K1": ()})
    assert caught.value.where == ("b.md" if line is None else f"b.md:{line}")
    assert what.lower() in caught.value.what.lower()
    assert caught.value.expected


def test_a_quoted_operator_is_a_word():
    (task,) = read('## T1 A\n- check: grep "a|b" x\n').tasks
    assert task["checks"][0]["arguments"] == ["grep", "a|b", "x"]


def test_tasks_may_depend_on_what_the_log_has():
    assert read("## T5 A\n- check: true\n- depends: K1\n", {"K1": ()}).tasks[0]["depends"] == ["K1"]


@pytest.mark.parametrize(("content", "what"), [(b"\xff\xfe#", "UTF-8"), (b"", "no task"), (b"x" * 2_000_000, "bytes")])
def test_files_that_are_no_backlog(tmp_path, content, what):
    path = tmp_path / "b.md"
    path.write_bytes(content)
    with pytest.raises(BadData) as caught:
        markdown.read(path)
    assert what in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(Missing):
        markdown.read(tmp_path / "none.md")


lines = st.lists(
    st.sampled_from(["## T1 A", "## T2", "- check: true", "- depends: T1, T2", "# x", "```", "-", "  more", "## Rules"])
    | st.text(max_size=20),
    max_size=12,
)


@given(lines)
def test_any_text_is_read_or_refused_in_words(found):
    try:
        read("\n".join(found))
    except ThinkError as error:
        assert error.expected  # noqa: PT017 - most texts are refused, some are read
