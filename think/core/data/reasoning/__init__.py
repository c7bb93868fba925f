"""Reasoning problems with known answers: generated, written as JSONL, and checked without looking at the answer.

    records.py   generate(count, seed) -> records; write; read
    kinds/       one file a kind of problem: what it asks, and when a number solves it
    numbers.py   reads numbers out of text exactly
    answers.py   reads a completion: its sections, the answer it states, its confidence
    checking.py  check(record, completion) -> Outcome
    prompts.py   the instructions around a question
    reports.py   a worked report, correct or with a slip that it mends
    wording.py   people, things and the small grammar that sentences need

A record stands alone: its `validator` block holds the kind and the operands, and that is enough to judge a number.
"""
