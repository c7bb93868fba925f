"""Tell one story."""

from random import Random

from think.core.data.storytelling import cast, plots

ENDING_SHARE = 0.6
"Share of stories with a closing sentence after the plot; the others end with the plot's own last moment."


def tell(random: Random) -> str:
    """A story as one or two paragraphs."""
    fields = cast.draw(random).fields
    plot, endings = random.choice(plots.PLOTS)
    opening = random.choice(plots.OPENINGS)
    moments = [random.choice(moment) for moment in plot]
    if any("{friend}" in moment for moment in moments):
        opening = f"{opening} {random.choice(plots.INTRODUCTIONS)}"
    moments = [opening, *moments]
    if random.random() < ENDING_SHARE:
        moments.append(_ending(endings, moments, random))
    sentences = [moment.format(**fields) for moment in moments]
    middle = random.choice((0, len(sentences) // 2))
    paragraphs = [sentences[:middle], sentences[middle:]]
    return "\n".join(" ".join(paragraph) for paragraph in paragraphs if paragraph)


def _ending(endings: plots.Moment, moments: list[str], random: Random) -> str:
    """An ending that names the friend only where the story does, and tells nobody what he or she has just seen."""
    told = " ".join(moments)
    suitable = [
        ending
        for ending in endings
        if ("{friend}" not in ending or "{friend}" in told) and ("{elder}" not in ending or "{elder}" not in told)
    ]
    return random.choice(suitable)
