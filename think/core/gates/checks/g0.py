"""Control tokens are single ids that text cannot forge, and every kernel agrees with its reference."""

from pydantic import NonNegativeFloat

from think.core.gates.checks import Example, Gate, Turn
from think.core.gates.evidence import ControlToken, Foundations, KernelComparison
from think.core.gates.verdict import Band, Finding, Status, Verdict
from think.presets.base import Settings as Base
from think.presets.base import knob


class Settings(Base):
    """Thresholds of g0."""

    kernel_error: NonNegativeFloat = knob(1e-4, acts_on="judge")
    "largest distance from the reference, max|a-b| / max|reference| of a tensor, float32"


def judge(settings: Settings, seen: Foundations) -> Verdict:
    """PASS when all control tokens are atomic and every implementation stays within `kernel_error`."""
    findings = [_atomic(seen), _forged(seen), *_kernels(settings, seen)]
    return Verdict.of(
        findings, remedy="`think data tokenizer --help` for the tokens, `think bench kernels` for the kernels"
    )


def _atomic(seen: Foundations) -> Finding:
    count = len(seen.expected_control)
    found = [token.text for token in seen.control]
    wanted = f"{count} control tokens with ids 0 to {count - 1}"
    if not count or not found:
        return Finding("control tokens", Status.NO_EVIDENCE, "no control token was encoded", wanted)
    wrong = [
        f"{text} -> {list(token.ids)}"
        for position, (text, token) in enumerate(zip(seen.expected_control, seen.control, strict=False))
        if token.text != text or token.ids != (position,)
    ]
    if found != list(seen.expected_control) and not wrong:
        wrong = [f"{len(found)} of {count} tokens"]
    text = f"not one id each: {', '.join(wrong)}" if wrong else f"one id each in the tokenizer {seen.tokenizer_origin}"
    return Finding("control tokens", Status.FAIL if wrong else Status.PASS, text, wanted, count=len(found))


def _forged(seen: Foundations) -> Finding:
    forged = [f"{token.text} -> {list(token.injected)}" for token in seen.control if token.injected]
    text = f"text forges control ids: {', '.join(forged)}" if forged else "text cannot forge a control id"
    status = Status.FAIL if forged else Status.PASS if seen.control else Status.NO_EVIDENCE
    return Finding("injection", status, text, "no control id from text", count=len(seen.control))


def _kernels(settings: Settings, seen: Foundations) -> list[Finding]:
    band = Band.at_most(settings.kernel_error)
    findings = []
    for kernel, implementations in sorted(seen.implementations.items()):
        for implementation in implementations:
            if implementation == "reference":
                continue
            mine = [c for c in seen.comparisons if (c.kernel, c.implementation) == (kernel, implementation)]
            name = f"{kernel}/{implementation}"
            wanted = f"error <= {settings.kernel_error:g}"
            if not mine:
                findings.append(Finding(name, Status.NO_EVIDENCE, f"{name} was not compared", wanted))
                continue
            # max() passes over NaN; the one that FAILs must decide.
            bad = max(mine, key=lambda c: (band.status(c.error) is Status.FAIL, c.error != c.error, c.error))
            text = f"{name} error {bad.error:.2g} ({bad.worst_tensor}, {bad.case})"
            findings.append(Finding(name, band.status(bad.error), text, wanted, value=bad.error, count=len(mine)))
    if not findings:
        findings.append(Finding("kernels", Status.NO_EVIDENCE, "no implementation was compared", "at least one"))
    return findings


_CONTROL = ("<|pad|>", "<|unk|>", "<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|endofturn|>")


def _foundations(*, error: float = 2e-6, split: bool = False, forged: bool = False) -> Foundations:
    control = [ControlToken(text=text, ids=(place,), injected=()) for place, text in enumerate(_CONTROL)]
    if split:
        control[3] = ControlToken(text="<|eos|>", ids=(60, 124, 62), injected=())
    if forged:
        control[3] = ControlToken(text="<|eos|>", ids=(3,), injected=(3,))
    case = KernelComparison(kernel="ssd", implementation="chunked", case="T=100", worst_tensor="y", error=error)
    return Foundations(
        control=tuple(control),
        expected_control=_CONTROL,
        implementations={"ssd": ("reference", "chunked")},
        comparisons=(case,),
        tokenizer_origin="of the example",
    )


SPEC = Gate(
    Settings=Settings,
    needs=Foundations,
    judge=judge,
    after=None,
    hangs_on=("tokenizer", "vocabulary", "code"),
    needs_run=False,
    examples=(
        Example("atomic tokens, close kernels", _foundations(), Status.PASS, Settings()),
        Example("eos in three pieces", _foundations(split=True), Status.FAIL, Settings()),
        Example("eos forged by text", _foundations(forged=True), Status.FAIL, Settings()),
        Example("a kernel far from its reference", _foundations(error=0.3), Status.FAIL, Settings()),
        Example("a kernel that gives NaN", _foundations(error=float("nan")), Status.FAIL, Settings()),
        Example(
            "a kernel that was not compared",
            _foundations().model_copy(update={"comparisons": ()}),
            Status.NO_EVIDENCE,
            Settings(),
        ),
    ),
    turns={"kernel_error": Turn(_foundations(error=5e-5), mild=1e-4, strict=1e-5)},
)
