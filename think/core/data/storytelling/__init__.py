"""Short stories from a small grammar, for the embedded corpus.

    cast.py    who and what a story is about: heroes, friends, places, things
    plots.py   the plots: for each moment of a story, the sentences that can tell it
    telling.py tell(random) -> one story

Two rules keep the text learnable and well formed. Pronouns in the singular always mean the hero; everybody else is
called by name. And a sentence may only use what its story has set up before it.
"""
