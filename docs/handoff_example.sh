#!/bin/sh
# Two tasks, two holders, one wrong assumption, one blocker: run it in an empty folder. docs/handoff.md tells the story
# and shows the HANDOFF.md that comes out; a test runs this file and compares.
set -eu

refused() { # the command must end with this exit code
    wanted=$1 && shift
    code=0 && "$@" || code=$?
    [ "$code" -eq "$wanted" ] || { echo "expected exit code $wanted, got $code: $*" >&2; exit 1; }
}

# ---- the project: a corpus, and a backlog ----

cat > corpus.txt <<'END'
Once upon a time
there was a small model.

It read all day.
At night it read again.

One day it read the test set
and was very proud.

Nobody told it
that this does not count.
END

cat > backlog.md <<'END'
# Held-out loss before anything larger

## Rules
- Nothing is scaled up before its held-out loss is known.

## Claims
- Letter frequencies of the training part predict the held-out part better than guessing
- Word order helps

## Deprecated references
- `1B_mix.txt`: named in old notes, never made

## T1 Hold out a validation split
Without one nobody sees overfitting.
- check (60 s): python check_split.py
- files: split.py

## T2 Report the held-out loss
A number to compare with, in nats per letter.
- depends: T1
- check (60 s): python loss.py
- files: loss.py, split.py
END

# No document may stand in both parts, whole or in pieces.
cat > check_split.py <<'END'
import pathlib
import split

documents = [set(text.splitlines()) for text in pathlib.Path("corpus.txt").read_text().strip().split("\n\n")]
train, held_out = split.split(pathlib.Path("corpus.txt").read_text())
torn = [lines for lines in documents if lines & set(train.splitlines()) and lines & set(held_out.splitlines())]
raise SystemExit(f"{len(torn)} documents are in both parts" if torn or not held_out else 0)
END

# ---- agent-a: the first task, and what it assumed ----

think handoff init backlog.md --owner agent-a
think handoff next --owner agent-a
think handoff start --owner agent-a

cat > split.py <<'END'
def split(text):
    lines = text.splitlines()
    return "\n".join(lines[::2]), "\n".join(lines[1::2])
END
refused 3 think handoff done --owner agent-a             # nobody approved these checks on this machine yet
refused 1 think handoff done --owner agent-a --approve   # the check runs, and fails

think handoff progress "documents are separated by blank lines, and neighbours belong together" \
    --wrong "every line is a document" --owner agent-a
cat > split.py <<'END'
def split(text):
    documents = text.strip().split("\n\n")
    return "\n\n".join(documents[:-1]), documents[-1]
END
think handoff done --owner agent-a

# ---- the second task: a blocker, and a holder who leaves ----

think handoff start --owner agent-a
refused 75 think handoff start --owner agent-b           # agent-a holds it
think handoff block --reason "nobody said which letters count" \
    --unblocks "a decision on letters that training never saw" --owner agent-a
think handoff unblock T2 --how "every byte counts; one that was never seen counts as seen once" --owner agent-b
think handoff start --lease 1s --owner agent-a
sleep 2                                              # agent-a is gone, and its lease with it
think handoff next --owner agent-b
think handoff start --owner agent-b

cat > loss.py <<'END'
import collections
import math
import pathlib
import split

train, held_out = (part.encode() for part in split.split(pathlib.Path("corpus.txt").read_text()))
seen = collections.Counter(train)
loss = sum(-math.log((seen[byte] + 1) / (len(train) + 256)) for byte in held_out) / len(held_out)
print(f"held-out loss {loss:.3f} nats a byte over {len(held_out)} bytes; guessing costs {math.log(256):.3f}")
raise SystemExit(loss >= math.log(256))
END
think handoff done --owner agent-b --approve
think handoff progress --claim C1 --evidence E3 --owner agent-b
think handoff end --owner agent-b --status "both tasks are done (E2, E3)" \
    --next "train a model that knows word order, and test C2" \
    --gotchas "the corpus has four documents: one of them is all of the held-out part"
think handoff check
