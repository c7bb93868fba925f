"""Who and what a story is about."""

from dataclasses import dataclass
from random import Random

from think.core.data.reasoning.wording import Person, two_people

TRAITS = (
    "brave",
    "clever",
    "curious",
    "gentle",
    "happy",
    "kind",
    "lively",
    "patient",
    "quiet",
    "shy",
    "small",
    "young",
)
ANIMALS = ("bear", "cat", "deer", "duck", "fox", "frog", "goat", "hare", "horse", "mouse", "owl", "rabbit")
HOMES = (
    "at the edge of a village",
    "at the foot of a mountain",
    "beside a wide river",
    "by the sea",
    "in a green valley",
    "in a little town",
    "near a deep forest",
    "near an old mill",
    "on a windy hill",
    "on a quiet farm",
)
TIMES = (
    "Early one day",
    "One bright morning",
    "One cold morning",
    "One day in spring",
    "One summer day",
    "One windy day",
    "On a grey day in autumn",
    "On a warm afternoon",
)
COLOURS = ("blue", "brown", "green", "golden", "red", "silver", "white", "yellow")
TOYS = ("ball", "bell", "boat", "book", "box of paints", "drum", "hat", "kite", "lamp", "ring", "scarf", "whistle")
FOODS = ("apple pie", "bread", "cheese", "honey cake", "nut cake", "nut bread", "plum cake", "sweet bread")
SPOTS = (
    "behind the barn",
    "beside the well",
    "by the old bridge",
    "in the garden",
    "in the high grass",
    "near the big oak",
    "on the market square",
    "on the path to the lake",
    "under the apple tree",
)
SKILLS = ("bake", "climb", "dance", "draw", "fish", "paint", "read", "ride", "sing", "skate", "swim", "write")
WORKS = ("boat", "bridge", "cart", "hut", "raft", "sledge", "tower", "tree house")
PLANTS = ("apple tree", "bean", "pumpkin", "rose", "strawberry plant", "sunflower")
ELDERS = ("aunt", "father", "grandfather", "grandmother", "mother", "uncle")


@dataclass(frozen=True)
class Cast:
    """The people and things of one story, as the fields that its sentences name."""

    hero: Person
    fields: dict[str, str]


def draw(random: Random) -> Cast:
    """A cast from a random stream."""
    hero, friend = two_people(random)
    species = random.choice(ANIMALS) if random.random() < 0.4 else None
    who = species or ("girl" if hero.he == "she" else "boy")
    thing = f"{random.choice(COLOURS)} {random.choice(TOYS)}"
    first_spot, second_spot, third_spot = random.sample(SPOTS, 3)
    stranger = random.choice([animal for animal in ANIMALS if animal != species])
    fields = {
        "hero": hero.name,
        "he": hero.he,
        "him": hero.him,
        "his": hero.his,
        "He": hero.he.capitalize(),
        "His": hero.his.capitalize(),
        "a_hero": with_article(f"{random.choice(TRAITS)} {who}"),
        "friend": friend.name,
        "home": random.choice(HOMES),
        "Home": random.choice(HOMES).capitalize(),
        "Time": random.choice(TIMES),
        "thing": thing,
        "a_thing": with_article(thing),
        "food": random.choice(FOODS),
        "spot": first_spot,
        "other_spot": second_spot,
        "last_spot": third_spot,
        "animal": stranger,
        "an_animal": with_article(f"{random.choice(('little', 'old', 'thin', 'tired', 'young'))} {stranger}"),
        "skill": random.choice(SKILLS),
        "work": (work := random.choice(WORKS)),
        "a_work": with_article(work),
        "plant": (plant := random.choice(PLANTS)),
        "a_plant": with_article(plant),
        "elder": random.choice(ELDERS),
    }
    return Cast(hero, fields)


def with_article(words: str) -> str:
    """`a fox`, `an owl`."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
