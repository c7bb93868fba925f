"""What a model is asked, by a model that knows the answers, or gives none."""

import pytest
import torch

from think.core.data import tasks
from think.core.data.tokenizer import CharacterSettings, Tokenizer, train
from think.core.errors import BadData
from think.core.eval import examine as examining
from think.core.eval.examine import examine

CONTROL = 8


def tokenizer(name: str) -> Tokenizer:
    return train(CharacterSettings(), [tasks.alphabet(tasks.load(name))])


class Oracle(torch.nn.Module):
    """Answers by looking the row up among all that it may be asked; wrong where `wrong` says so."""

    def __init__(self, name: str, sizes: tuple[int, ...], rows: int, wrong=lambda place: False):
        super().__init__()
        self.anything, self.wrong = torch.nn.Parameter(torch.zeros(1)), wrong
        self.symbols = tasks.load(name).symbols
        self.known = {}
        ids = tokenizer(name).encode(tasks.alphabet(tasks.load(name)))
        for size in sizes:
            drawn = tasks.rows(name, "test", size, size, seed=examining.TEST_SEED)
            for _, row in zip(range(rows), drawn, strict=False):
                self.known[tuple(ids[symbol] for symbol in row.symbols)] = [0, *(ids[at] for at in row.labels)]

    def hidden(self, tokens):
        found = torch.zeros(*tokens.shape, dtype=torch.long)
        for number, row in enumerate(tokens.tolist()):
            answers = self.known[tuple(row[1:])]
            found[number] = torch.tensor([0 if self.wrong(at) else answer for at, answer in enumerate(answers)])
        return torch.nn.functional.one_hot(found, 8 + self.symbols).float(), None

    def logits(self, hidden):
        return hidden


@pytest.mark.parametrize("name", ["parity", "s5", "mqar", "copying", "pointer_chase"])
def test_who_knows_the_answers_gets_them_all(name):
    sizes = tasks.load(name).tested[:2]
    found = list(examine(Oracle(name, sizes, 30), tokenizer(name), name, sizes, 30))
    assert [score.size for score in found] == list(sizes)
    assert all(score.accuracy.value == 1 and score.scaled.high == 1 and score.rows == 30 for score in found)


def test_tasks_that_follow_a_state_are_scored_at_their_last_symbol_alone():
    late = Oracle("parity", (40,), 20, wrong=lambda place: place == 40)
    early = Oracle("parity", (40,), 20, wrong=lambda place: place < 40)
    assert next(examine(late, tokenizer("parity"), "parity", (40,), 20)).accuracy.value == 0
    right = next(examine(early, tokenizer("parity"), "parity", (40,), 20))
    assert (right.accuracy.value, right.questions) == (1, 20)


def test_tasks_of_recall_are_scored_at_every_question():
    half = Oracle("copying", (16,), 10, wrong=lambda place: place <= 16 + 8)
    found = next(examine(half, tokenizer("copying"), "copying", (16,), 10))
    assert (found.accuracy.value, found.questions) == (0.5, 160)


def test_parts_of_a_pass_do_not_change_what_comes_out(monkeypatch):
    torch.manual_seed(0)
    from tests.core.models.examples import model

    made, asked = model("hybrid", vocabulary=10), ("parity", (20, 40), 50)
    whole = list(examine(made, tokenizer("parity"), *asked))
    monkeypatch.setattr(examining, "SYMBOLS_AT_ONCE", 100)
    assert list(examine(made, tokenizer("parity"), *asked)) == whole
    assert made.training


def test_a_tokenizer_of_another_task_is_refused():
    with pytest.raises(BadData, match="no tokens for all 120 symbols of s5"):
        next(examine(Oracle("parity", (), 0), tokenizer("parity"), "s5", (8,), 5))


def test_the_unigram_baseline_of_rows_counts_labels(tmp_path):
    from think.core.data.pack import pack, texts
    from think.core.data.settings import DataSettings
    from think.core.data.sources.task import Settings as Rows
    from think.core.data.store import Packed
    from think.core.evidence._unigram import fit

    sources = (Rows(task="pointer_chase", count=100),)
    settings = DataSettings(sources=sources)
    pack(sources, settings, train(CharacterSettings(), texts(sources, settings)), tmp_path / "pack")
    split = Packed.open(tmp_path / "pack").split("train")
    found = fit(split, CONTROL + 17)
    assert found.fitted_on == 8 * split.documents
    assert found.nats[CONTROL + 16] == found.nats[0] == found.nats.max(), "a sign to hop is never a label"
