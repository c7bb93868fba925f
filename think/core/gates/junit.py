"""Verdicts for machines that read test results: JUnit XML and the annotations of a build service.

Projections only; the evidence itself is in the stored verdicts.

    FAIL -> failure    NO_EVIDENCE -> error    BLOCKED, WAIVED -> skipped    WARN -> passes, or failure when strict
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from think.core.gates.store import Stored
from think.core.gates.verdict import Status

SHOWN = 10
"Annotations of one level that the build service shows for a step; more would push out the worst."

# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(records: Sequence[Stored], *, strict: bool = False) -> bytes:
    """One test suite with a test case for each gate; figures of the evidence are properties."""
    suite = ET.Element("testsuite", name="think gate", tests=str(len(records)))
    counts = {"failures": 0, "errors": 0, "skipped": 0}
    for record in records:
        case = ET.SubElement(suite, "testcase", classname="think.gate", name=record.gate, time="0")
        _properties(case, record)
        status, line = record.verdict.status, _text(record.verdict.line())
        if status is Status.FAIL or (strict and status is Status.WARN):
            counts["failures"] += 1
            ET.SubElement(case, "failure", message=line, type=status.value).text = _detail(record)
        elif status is Status.NO_EVIDENCE:
            counts["errors"] += 1
            ET.SubElement(case, "error", message=line, type=status.value).text = _detail(record)
        elif status in (Status.BLOCKED, Status.WAIVED):
            counts["skipped"] += 1
            ET.SubElement(case, "skipped", message=f"{status}: {line}")
        elif status is Status.WARN:
            ET.SubElement(case, "system-out").text = f"WARN: {line}"
    for name, count in counts.items():
        suite.set(name, str(count))
    suites = ET.Element("testsuites", {"name": "think gate", "tests": str(len(records))})
    suites.append(suite)
    ET.indent(suites)
    text: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def annotations(records: Sequence[Stored], *, strict: bool = False) -> list[str]:
    """Workflow commands of a build service, worst first: errors, warnings, then notices for waived gates."""
    levels: dict[str, list[str]] = {"error": [], "warning": [], "notice": []}
    for record in records:
        status = record.verdict.status
        if status is Status.PASS:
            continue
        level = "notice" if status is Status.WAIVED else "warning" if status is Status.WARN else "error"
        level = "error" if strict and status is Status.WARN else level
        title = _property(f"think gate {record.gate}: {status}")
        remedy = f"\n{record.verdict.remedy}" if record.verdict.remedy else ""
        levels[level].append(f"::{level} title={title}::{_message(record.verdict.line() + remedy)}")
    return [line for lines in levels.values() for line in lines[:SHOWN]]


def _properties(case: ET.Element, record: Stored) -> None:
    source = record.source
    held = {
        "verdict": record.verdict.status.value,
        "thresholds_sha256": record.thresholds_sha256,
        "evidence_sha256": record.evidence["sha256"] if record.evidence else None,
        "run": source.run,
        "commit": source.commit,
        "seed": None if source.seed is None else str(source.seed),
        "checkpoint": source.checkpoint,
        **{f"digest.{name}": digest for name, digest in source.digests.items()},
    }
    waiver = record.verdict.waiver
    if waiver is not None:
        held |= {"waiver.owner": waiver.owner, "waiver.reason": waiver.reason, "waiver.until": waiver.until.isoformat()}
    properties = ET.SubElement(case, "properties")
    for name, value in held.items():
        if value is not None:
            ET.SubElement(properties, "property", name=name, value=_text(value))
    for finding in record.verdict.findings:
        line = _text(f"{finding.status}: {finding.line()}")
        ET.SubElement(properties, "property", name=f"finding.{finding.name}", value=line)


def _detail(record: Stored) -> str:
    lines = [f"{finding.status} {finding.name}: {finding.line()}" for finding in record.verdict.findings]
    if record.verdict.remedy:
        lines.append(f"remedy: {record.verdict.remedy}")
    return _text("\n".join(lines or [record.verdict.line()]))


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
