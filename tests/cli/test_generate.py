"""`think.load`, `think generate` and `think chat` on a run folder as training leaves it."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import think
from think.cli import chat
from think.cli.app import run as command
from think.cli.console import console
from think.core.assembled import Assembled
from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.sources.stories import Settings as StoriesSettings
from think.core.data.tokenizer import ASSISTANT, BOS, ENDOFTURN, FILE_NAME, BpeSettings, Tokenizer, train
from think.core.errors import BadData, Exit, Missing
from think.core.generation import Limits, turn
from think.core.models import build
from think.core.settings import RunSettings
from think.core.text import harmless
from think.core.training.checkpoint import Checkpoints
from think.core.training.weights import weights
from think.kernels.decode import native
from think.presets.decode import decode
from think.presets.render import as_toml
from think.presets.sources import read

SMALL = ["model.width=32", "model.layers=1", "model.anchors=none", "model.mixer.memory.norm=none"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished-looking run: packed data, settings, one checkpoint of random weights with some contrast."""
    root = tmp_path_factory.mktemp("work")
    sources = (StoriesSettings(count=30),)
    data = DataSettings(path=str(root / "data"))
    tokenizer = train(BpeSettings(size=300), texts(sources, data))
    manifest = pack(sources, data, tokenizer, root / "data")
    folder = root / "runs" / "first-0001"
    folder.mkdir(parents=True)
    resolved = decode(read("cpu_smoke", [*SMALL, f"data.path={json.dumps(str(root / 'data'))}"]), RunSettings)
    (folder / "settings.toml").write_text(as_toml(resolved), encoding="utf-8")
    torch.manual_seed(0)
    model = build(resolved.settings.model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    Checkpoints(folder / "checkpoints").save(
        7, {"model": weights(model)}, {"step": 7, "digests": {"pack": manifest.digest}}
    )
    return folder


@pytest.fixture(autouse=True)
def _quiet(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINK_RUNS", str(run.parent))
    monkeypatch.setenv("THINK_THREADS", "1")
    console.begin(json=False)


# ---- think.load ---------------------------------------------------------------------------------------------------


def test_importing_think_loads_no_torch() -> None:
    code = "import sys, think; assert 'load' in dir(think); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_load_takes_a_run_or_a_checkpoint(run: Path) -> None:
    thinker = think.load(run)
    assert isinstance(thinker, Assembled)
    assert thinker.step == 7
    assert isinstance(thinker.tokenizer, Tokenizer)
    assert thinker.settings.model.width == 32
    assert not thinker.model.training
    same = think.load(str(thinker.path))
    assert same.generate("Once", tokens=12, seed=3) == thinker.generate("Once", tokens=12, seed=3)


def test_loading_leaves_the_random_stream_alone(run: Path) -> None:
    before = torch.get_rng_state()
    think.load(run)
    assert torch.equal(before, torch.get_rng_state())


def test_generate_is_greedy_at_zero_and_the_stream_is_the_text(run: Path) -> None:
    thinker = think.load(run)
    text = thinker.generate("Long ago", tokens=20, temperature=0.0)
    assert text == thinker.generate("Long ago", tokens=20, temperature=0.0, seed=9)
    opened = thinker.open()
    opened.read([BOS, *thinker.tokenizer.encode("Long ago")])
    assert thinker.tokenizer.decode(opened.write(Limits(20, 0.0))) == text


def test_what_cannot_be_loaded(run: Path, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no such folder"):
        think.load(tmp_path / "nothing")
    with pytest.raises(Missing, match="no weights"):
        think.load(tmp_path)
    with pytest.raises(AttributeError):
        think.unload  # noqa: B018


def _copy(run: Path, to: Path) -> Path:
    return Path(shutil.copytree(run, to / "copy"))


def test_a_damaged_checkpoint_is_not_read(run: Path, tmp_path: Path) -> None:
    copy = _copy(run, tmp_path)
    (file,) = copy.glob("checkpoints/*/model.safetensors")
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(BadData, match="sha256"):
        think.load(copy)


def test_a_copy_of_the_tokenizer_makes_the_run_independent_of_its_data(run: Path, tmp_path: Path) -> None:
    copy = _copy(run, tmp_path)
    settings = (copy / "settings.toml").read_text(encoding="utf-8")
    data = think.load(run).settings.data.path
    (copy / "settings.toml").write_text(settings.replace(data, str(tmp_path / "gone")), encoding="utf-8")
    with pytest.raises(Missing, match="tokenizer"):
        think.load(copy)
    (copy / FILE_NAME).write_bytes((Path(data) / FILE_NAME).read_bytes())
    assert think.load(copy).tokenizer.digest == think.load(run).tokenizer.digest


def test_other_data_in_the_place_of_the_runs_own_are_refused(run: Path, tmp_path: Path) -> None:
    copy = _copy(run, tmp_path)
    sources = (StoriesSettings(count=25, seed=5),)
    settings = DataSettings(path=str(tmp_path / "other"))
    pack(sources, settings, think.load(run).tokenizer, tmp_path / "other")
    text = (copy / "settings.toml").read_text(encoding="utf-8")
    data = think.load(run).settings.data.path
    (copy / "settings.toml").write_text(text.replace(data, str(tmp_path / "other")), encoding="utf-8")
    with pytest.raises(BadData, match="not the data"):
        think.load(copy)


# ---- think generate -----------------------------------------------------------------------------------------------


def _answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The data of `think generate … --json`."""
    assert command(["generate", *words, "--json"]) == Exit.DONE
    data: dict[str, Any] = json.loads(capsys.readouterr().out)["data"]
    return data


def test_generate_takes_the_newest_run_and_says_which(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run.parent / "empty-0001" / "checkpoints").mkdir(parents=True, exist_ok=True)
    assert command(["generate", "--prompt", "Once upon", "--tokens", "10", "--seed", "1"]) == Exit.DONE
    captured = capsys.readouterr()
    assert captured.out.startswith("Once upon")
    assert captured.out.endswith("\n")
    assert str(run) in captured.err
    assert "step 7" in captured.err


def test_generate_by_run_by_path_and_as_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--prompt", "Once", "--tokens", "15", "--seed", "4"]
    by_name = _answer(capsys, "--run", run.name, *asked)
    assert _answer(capsys, "--model", str(run / "checkpoints" / "step-00000007"), *asked) == by_name
    assert (by_name["seed"], by_name["step"], by_name["prompt"]) == (4, 7, "Once")
    assert by_name["text"] == think.load(run).generate("Once", tokens=15, seed=4)


def test_every_option_of_the_draw_counts(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--prompt", "Once", "--tokens", "15", "--seed", "4", "--temperature", "3", "--top-p", "1"]
    text = _answer(capsys, *asked)["text"]
    assert text == think.load(run).generate("Once", tokens=15, seed=4, temperature=3.0, top_p=1.0)
    for option, value in (("--tokens", "1"), ("--seed", "5"), ("--temperature", "0"), ("--top-p", "0.01")):
        changed = [value if before == option else word for before, word in zip(["", *asked], asked, strict=False)]
        assert _answer(capsys, *changed)["text"] != text, option


def test_a_seed_of_our_own_is_said_and_repeats(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["generate", "--tokens", "15", "--temperature", "1.5", "--json"]) == Exit.DONE
    captured = capsys.readouterr()
    data = json.loads(captured.out)["data"]
    assert f"seed {data['seed']}" in captured.err
    assert think.load(run).generate(tokens=15, temperature=1.5, seed=data["seed"]) == data["text"]


def test_a_prompt_is_utf_8_whatever_the_locale(capsys: pytest.CaptureFixture[str]) -> None:
    """In another locale the system hands over undecoded bytes as half surrogates."""
    typed = "ü".encode().decode("ascii", "surrogateescape")
    assert command(["generate", "--prompt", typed, "--tokens", "3", "--temperature", "0"]) == Exit.DONE
    assert capsys.readouterr().out.startswith("ü")
    assert command(["generate", "--prompt", "\udcff", "--tokens", "3"]) == Exit.BAD_DATA
    assert "--prompt: the prompt is not UTF-8" in capsys.readouterr().err


def test_the_prompt_may_come_from_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("Es war einmal ü".encode())))
    assert command(["generate", "--prompt", "-", "--tokens", "3", "--temperature", "0"]) == Exit.DONE
    assert capsys.readouterr().out.startswith("Es war einmal ü")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe")))
    assert command(["generate", "--prompt", "-", "--tokens", "3"]) == Exit.BAD_DATA
    assert "UTF-8" in capsys.readouterr().err


def test_several_prompts_and_samples_are_each_what_they_are_alone(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--tokens", "12", "--temperature", "1.5", "--seed", "4"]
    prompts = ["--prompt", "Once", "--prompt", "The cat sat"]
    texts = _answer(capsys, *prompts, "--samples", "2", *asked)["texts"]
    assert [(text["prompt"], text["seed"]) for text in texts] == [
        *(("Once", 4), ("Once", 5)),
        *(("The cat sat", 4), ("The cat sat", 5)),
    ]
    for text in texts:
        alone = _answer(capsys, "--prompt", text["prompt"], *asked[:-1], str(text["seed"]))
        assert {name: alone[name] for name in text} == text
    assert command(["generate", *prompts, *asked]) == Exit.DONE
    shown = harmless(f"Once{texts[0]['text']}\n---\nThe cat sat{texts[2]['text']}\n")
    assert capsys.readouterr().out == shown


def test_the_decoder_is_the_one_that_was_asked_for(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--prompt", "Once", "--tokens", "9", "--temperature", "0"]
    eager = _answer(capsys, *asked, "--decoder", "eager")
    assert eager["decoder"] == "eager"
    auto = _answer(capsys, *asked, "--decoder", "auto")
    assert auto["text"] == eager["text"]
    assert auto["decoder"] == ("eager" if native.lacking() else "native")
    monkeypatch.setattr(native, "lacking", lambda: "the library was not built")
    assert command(["generate", *asked]) == Exit.DONE
    assert "slower decoder, the model's own step: the library was not built" in capsys.readouterr().err
    assert command(["generate", *asked, "--decoder", "native"]) == Exit.MACHINE_CANNOT
    captured = capsys.readouterr()
    assert "not built" in captured.err
    assert captured.out == ""


def test_control_characters_are_made_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["generate", "--prompt", "a\x1b[2Jb", "--tokens", "3", "--temperature", "0"]) == Exit.DONE
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.startswith("a\\x1b[2Jb")


def test_harmful_characters_stand_in_json_unharmed(capsys: pytest.CaptureFixture[str]) -> None:
    prompt = "a\x7f\x9b\u200b\u202e\x1bb"
    assert _answer(capsys, "--prompt", prompt, "--tokens", "3")["prompt"] == prompt


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--run", "first-0001", "--model", "."], Exit.USAGE, "both"),
        (["--top-p", "1.5"], Exit.USAGE, "top-p"),
        (["--temperature", "-1"], Exit.USAGE, "temperature"),
        (["--tokens", "0"], Exit.USAGE, "tokens"),
        (["--samples", "2", "--temperature", "0"], Exit.USAGE, "all be the same"),
        (["--prompt", "-", "--prompt", "-"], Exit.USAGE, "twice"),
        (["--decoder", "quick"], Exit.USAGE, "quick"),
        (["--run", "first-0002"], Exit.MISSING, "first-0001"),
        (["--model", "nothing/here"], Exit.MISSING, "no such folder"),
    ],
)
def test_what_generate_refuses(
    words: list[str], code: Exit, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command(["generate", *words]) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_without_any_run_generate_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THINK_RUNS", str(tmp_path))
    assert command(["generate"]) == Exit.MISSING
    assert "think train stage1" in capsys.readouterr().err


# ---- think chat ---------------------------------------------------------------------------------------------------


def _say(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_chat_carries_its_state_from_turn_to_turn(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _say(monkeypatch, "Hello there", "", "Tell me more")
    asked = ["--run", run.name, "--system", "Be kind", "--tokens", "8", "--temperature", "0", "--seed", "0"]
    assert command(["chat", *asked]) == Exit.DONE
    replies = capsys.readouterr().out
    thinker = think.load(run)
    opened = thinker.open()
    opened.read([BOS, *turn(thinker.tokenizer, "system", "Be kind")])
    expected = ""
    for said in ("Hello there", "Tell me more"):
        opened.read([*turn(thinker.tokenizer, "user", said), ASSISTANT])
        expected += thinker.tokenizer.decode(opened.write(Limits(8, 0.0))) + "\n"
        opened.read([ENDOFTURN])
    assert replies == expected


def test_chat_repeats_with_its_seed_and_minds_top_p(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(*words: str) -> str:
        _say(monkeypatch, "Hello")
        assert command(["chat", "--model", str(run), "--tokens", "20", "--temperature", "3", *words]) == Exit.DONE
        return capsys.readouterr().out

    assert reply("--seed", "1", "--top-p", "1") == reply("--seed", "1", "--top-p", "1")
    assert reply("--seed", "1", "--top-p", "1") != reply("--seed", "2", "--top-p", "1")
    assert reply("--seed", "1", "--top-p", "1e-6") == reply("--seed", "2", "--top-p", "1e-6")


def test_interrupting_a_reply_ends_the_turn_and_not_the_talk(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original, pressed = console.stream, False

    def interrupted(text: str) -> None:
        nonlocal pressed
        if text != "\n" and not pressed:
            pressed = True
            raise KeyboardInterrupt
        original(text)

    monkeypatch.setattr(chat.console, "stream", interrupted)
    _say(monkeypatch, "Hello there", "And now?")
    assert command(["chat", "--run", run.name, "--tokens", "8", "--temperature", "2", "--seed", "0"]) == Exit.DONE
    captured = capsys.readouterr()
    assert pressed
    assert "stopped" in captured.err
    assert captured.out.count("\n") == 2


def test_interrupting_a_line_asks_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Pressed(io.StringIO):
        def readline(self, *_: int) -> str:  # type: ignore[override]
            if not self.tell():
                self.seek(1)
                raise KeyboardInterrupt
            return ""

    monkeypatch.setattr("sys.stdin", Pressed("xx"))
    assert chat.next_line() is None
    assert "Ctrl-D" in capsys.readouterr().err


def test_at_a_terminal_the_user_is_asked_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    lines = iter(["Hello"])

    def typed(prompt: str) -> str:
        assert prompt == "you> "
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", typed)
    assert chat.next_line() == "Hello"
    assert chat.next_line() is None


def test_a_talk_that_outgrows_full_attention_begins_anew(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("think.core.generation.full_context", lambda model: 60)
    _say(monkeypatch, *["Hello there my friend"] * 4, "word " * 60)
    assert command(["chat", "--run", run.name, "--tokens", "20", "--temperature", "0", "--seed", "0"]) == Exit.DONE
    said = capsys.readouterr().err
    assert "begins anew" in said
    assert "longer than" in said
