"""The plots. A plot is a list of moments; a moment is a list of ways to tell it; braces name fields of the cast.

To add a plot, add a list. Singular pronouns mean the hero.
"""

Moment = tuple[str, ...]
Plot = tuple[Moment, ...]

OPENINGS: Moment = (
    "Once upon a time there was {a_hero} named {hero}, who lived {home}.",
    "{hero} was {a_hero} who lived {home}.",
    "{Home} lived {a_hero} named {hero}.",
    "Long ago there was {a_hero} {home}. {His} name was {hero}.",
    "There was once {a_hero} named {hero}. {He} lived {home}.",
)

INTRODUCTIONS: Moment = (
    "{His} best friend was {friend}.",
    "{friend} lived next door.",
    "Every day {he} met {friend}, who lived close by.",
    "{hero} had a good friend named {friend}.",
)
"Put after the opening when the plot is going to speak of the friend."

GLAD: Moment = (
    "That night {hero} slept very well.",
    "And from that day on, {hero} and {friend} were the best of friends.",
    "{hero} never forgot that day.",
    "When the stars came out, {hero} was still smiling.",
    "{hero} and {friend} still talk about it today.",
    "Then {hero} went home and told {his} {elder} all about it.",
    "It was the best day of the year.",
)

CALM: Moment = (
    "After that {hero} slept very well.",
    "{hero} never forgot it.",
    "{hero} and {friend} still laugh about it today.",
    "{hero} felt light and happy again.",
    "That is how {hero} learned to be brave.",
)

LOST: Plot = (
    (
        "{hero} loved {his} {thing} more than anything.",
        "{hero} had {a_thing} from {his} {elder} and took it everywhere.",
    ),
    (
        "{Time}, {hero} saw that the {thing} was gone.",
        "{Time}, {he} could not find the {thing} any more.",
        "{Time}, the {thing} was not in its place.",
    ),
    (
        "{He} looked {spot}, but it was not there.",
        "First {he} looked {spot}. Then {he} looked {other_spot}. There was nothing.",
        "{He} searched {spot} and {other_spot}, and found only leaves.",
    ),
    ("{hero} sat down and began to cry.", "{hero} did not know what to do.", "{hero} was very sad."),
    (
        '"Do not worry," said {friend}. "We will find it together."',
        '{friend} came by and asked, "What is wrong?" "I have lost my {thing}," said {hero}.',
        '"Where did you see it last?" asked {friend}. {hero} thought about it for a long time.',
    ),
    (
        "They searched until the sun was low, and there it was, {last_spot}.",
        "They went the whole way back, step by step, and found it {last_spot}.",
        "At last they heard {an_animal}. It was sitting {last_spot}, and beside it lay the {thing}.",
    ),
    (
        '"Thank you," said {hero}. "Without you I would still be looking."',
        "{hero} was so happy that {he} jumped into the air.",
        "{hero} held the {thing} close and thanked {friend} again and again.",
    ),
)

BUILD: Plot = (
    (
        "{hero} wanted to build {a_work}.",
        "{hero} had one great wish, and that was {a_work}.",
        "{hero} liked to make things with {his} own hands.",
    ),
    (
        "{Time}, {hero} asked {friend} to help with {a_work}.",
        "{Time}, {he} began to build {a_work} {spot}, and {friend} came to help.",
    ),
    (
        "They carried wood and rope {spot}.",
        "They found some old boards {other_spot} and carried them home.",
        "{friend} brought a hammer, and {hero} brought the nails.",
    ),
    (
        "But they worked too fast, and the {work} fell apart.",
        "But the wind blew, and the whole {work} came down.",
        "But the boards were too short, and the {work} broke in the middle.",
    ),
    (
        '"It will never work," said {hero}.',
        "{hero} was angry and kicked a stone.",
        '"What did we do wrong?" asked {hero}.',
    ),
    (
        '"Let us make a plan first," said {friend}. So they drew the {work} on paper and counted the boards.',
        '"We must go slowly," said {friend}. They looked at every part and tied every rope again.',
        "They sat down, thought about it, and found the weak part. Then they began again.",
    ),
    (
        "In the evening the {work} was ready, and it was strong.",
        "This time the {work} held, even when both of them jumped on it.",
        "After three days the {work} was done. It was the finest {work} for miles.",
    ),
)

STORM: Plot = (
    (
        "{Time}, dark clouds came over the hills.",
        "{Time}, the sky turned black and the wind began to blow.",
        "{Time}, it rained so hard that the river rose.",
    ),
    (
        "{hero} heard a cry {spot}.",
        "Through the window {hero} saw something move {spot}.",
        '{friend} ran to the door and called, "Somebody needs help {spot}!"',
    ),
    (
        "It was {an_animal} that could not get home.",
        "There stood {an_animal}, wet and cold and full of fear.",
    ),
    (
        "{hero} was afraid of the thunder, but {he} took a lamp and went out.",
        "{hero} put on {his} coat and went out into the rain.",
        "{hero} did not wait. {He} took a long rope and ran.",
    ),
    (
        "The water was deep, and {friend} held the rope while {hero} walked on.",
        'Step by step {he} came closer. "Do not be afraid," {he} said.',
        "The wind pulled at the lamp, but the light did not go out.",
    ),
    (
        "At last {hero} and the {animal} were safe and warm by the fire.",
        "Soon the {animal} lay by the fire and ate {food}.",
        "They all sat in the kitchen, ate {food}, and listened to the storm.",
    ),
    (
        "In the morning the sun came back, and the {animal} came to say thank you.",
        'When the rain was over, {friend} said, "That was very brave."',
        "The next day the whole village knew what {hero} had done.",
    ),
)

SHARE: Plot = (
    (
        "{Time}, {hero} had some {food} for lunch.",
        "{Time}, {hero} got {food} from {his} {elder} to take along.",
        "{Time}, {hero} sat {spot} with {food}.",
    ),
    (
        "Then {an_animal} came along the path.",
        "{He} was just about to eat when {an_animal} came by.",
        "{He} looked up and saw {an_animal}.",
    ),
    (
        '"I have not eaten for two days," said the {animal}.',
        "The {animal} looked at the {food} and said nothing.",
        '"Could I have a little of that?" asked the {animal}.',
    ),
    ("{hero} was very hungry too.", "{hero} thought about it. There was not much.", "It was all that {hero} had."),
    (
        "But {he} made two equal parts and gave one of them away.",
        '"We can share it," said {hero}, and they ate together.',
        '"Here, take half," said {hero}.',
    ),
    (
        "A week later {hero} got lost in the forest. It was the {animal} who showed {him} the way home.",
        "In the winter, when food was short, the {animal} brought {him} a bag of nuts.",
        "Some days later the {animal} came back with {a_thing} and gave it to {hero}.",
    ),
    (
        '"You shared with me," said the {animal}. "Now I share with you."',
        "A small gift can come back as a big one.",
        '{friend} heard of it and said, "Good things come back."',
    ),
)

RACE: Plot = (
    (
        "Every year there was a race to the lake, and {hero} wanted to win it.",
        "{Time}, there was a big race {home}.",
        "{hero} could run fast, but {friend} could run faster.",
    ),
    (
        "Each morning {he} ran up the hill and down again.",
        "{He} ran every day, even in the rain.",
        "{He} practised for many weeks.",
    ),
    (
        "On the day of the race everybody stood {spot} and cheered.",
        "When the bell rang, all of them began to run.",
        "The race began {spot}.",
    ),
    (
        "{hero} was in front when {friend} fell.",
        "Close to the end {friend} fell over a stone.",
        "In the middle of the race {friend} hurt a foot and had to stop.",
    ),
    (
        "{hero} looked at the finish. Then {he} looked back.",
        "For a moment {hero} did not know what to do.",
        '"Go on!" called {friend}. "You can win!"',
    ),
    (
        "{He} turned around and helped {friend} to stand up.",
        "{hero} went back, and they walked the last part together.",
        "{He} stopped and gave {friend} a hand.",
    ),
    (
        "They were the last ones, and everybody cheered for them.",
        "Another runner won, but {hero} was not sad.",
        '"A friend is worth more than a race," said {hero}.',
    ),
)

NIGHT: Plot = (
    (
        "One winter evening {hero} went to bed early.",
        "One evening {hero} stayed alone in the house.",
        "It was a dark night without a moon.",
    ),
    (
        "In the middle of the night there was a noise.",
        "Suddenly something knocked at the window.",
        "Then {he} heard slow steps {spot}.",
    ),
    (
        '"Who is there?" asked {hero}. Nobody answered.',
        "{hero} pulled the blanket over {his} head.",
        "{His} heart beat very fast.",
    ),
    (
        "Knock, knock, it went again.",
        "The noise came closer and closer.",
        "After a while it began again, louder than before.",
    ),
    (
        '"I will go and look," thought {hero}. "Then I will know."',
        "At last {he} took a lamp and opened the door.",
        "{He} took a deep breath, took {his} lamp and went to see.",
    ),
    (
        "It was only {an_animal} that was looking for a warm place.",
        "There sat {an_animal} with {a_thing} in its mouth.",
        "It was {friend}, who had forgotten the key.",
    ),
    (
        "{hero} laughed until {he} had to sit down.",
        "{hero} laughed, and all the fear was gone.",
        '"Next time I will look at once," said {hero}.',
    ),
)

LEARN: Plot = (
    (
        "More than anything {hero} wanted to learn to {skill}.",
        "Everybody could {skill}, but {hero} could not.",
        "{hero} had a dream. {He} wanted to {skill}.",
    ),
    (
        "{Time}, {he} tried it for the first time, and it went badly.",
        "{Time}, {he} tried it {spot}, and everybody laughed.",
        "{Time}, {he} asked {friend} for help.",
    ),
    ('"I will never learn it," said {hero}.', "{hero} wanted to give up.", "It was much harder than it looked."),
    (
        '"Try a little every day," said {friend}.',
        '"I could not do it at first either," said {friend}.',
        '{friend} said, "Show me what is hard. We will begin there."',
    ),
    (
        "So {hero} practised in the morning and in the evening.",
        "So {he} tried again, a little each day.",
        "{hero} made many mistakes and learned something from each of them.",
    ),
    (
        "After a month it went better.",
        "One day, without thinking, {he} could do it.",
        "The days went by, and slowly it became easy.",
    ),
    (
        '"Look!" called {hero}. "I can {skill}!"',
        "Now {hero} could {skill} as well as anybody.",
        "At the summer feast everybody came to see {hero} {skill}.",
    ),
)

MAP: Plot = (
    (
        "{Time}, {hero} found an old map {spot}.",
        "{Time}, {hero} got an old map from {his} {elder}. There was a red cross on it.",
        "{Time}, an old map fell out of a book.",
    ),
    (
        '"Let us follow it," said {friend}.',
        "{He} ran to {friend} and showed it.",
        "{hero} and {friend} packed {food} and a lamp, and off they went.",
    ),
    (
        "First they had to cross the river.",
        "The path led them through a dark forest.",
        "They walked over the hills until noon.",
    ),
    (
        "At the water there was no bridge, so they jumped from stone to stone.",
        "Soon they did not know where they were, but {hero} looked at the sun and found the way.",
        "A great tree lay across the path, and they had to climb over it.",
    ),
    (
        "At last they stood before the place on the map.",
        "The place on the map was {last_spot}, and they began to dig.",
        "In the evening they found a small door {last_spot}.",
    ),
    (
        "Under the earth was a box, and in the box lay {a_thing}.",
        "They found a box full of old letters and {a_thing}.",
        "There was no gold, only a bag of seeds and a letter.",
    ),
    (
        '"The way was the best part," said {friend}.',
        "They shared everything they had found.",
        '"Tomorrow we will draw a map of our own," said {hero}.',
    ),
)

QUARREL: Plot = (
    ("{hero} and {friend} did everything together.", "{hero} and {friend} had never had a quarrel before."),
    (
        "{Time}, they found {a_thing} {spot}.",
        "{Time}, they both wanted to play with the {thing}.",
        "{Time}, they saw {a_thing}, and each of them wanted to have it.",
    ),
    (
        '"It is mine!" said {hero}. "No, it is mine!" said {friend}.',
        "They both pulled at the {thing} until it nearly broke.",
        '"I saw it first," said {hero}. {friend} said the same.',
    ),
    (
        "{hero} went home without a word.",
        "They did not speak for three days.",
        "{friend} ran away, and {hero} was alone with the {thing}.",
    ),
    (
        "But it was no fun to play alone.",
        "{hero} looked at the {thing} and felt sad.",
        "Without {friend} the days were long.",
    ),
    (
        '{He} went to {friend} and said, "I am sorry. A friend is better than a {thing}."',
        '"I was wrong," said {hero}. "I am sorry." "So am I," said {friend}.',
        'At last {hero} knocked at the door. "Can we share it?" {he} asked.',
    ),
    ("From then on they took turns.", "They played until it got dark.", "They laughed and went out to play."),
)

GIFT: Plot = (
    (
        "{Time}, {hero} remembered that it was the birthday of {his} {elder}.",
        "It was nearly the birthday of {his} {elder}, and {hero} had no gift.",
        "{hero} wanted to give {his} {elder} something beautiful.",
    ),
    (
        "But {he} had no money at all.",
        "{He} had only two coins, and that was not enough.",
        "Everything in the shop cost too much.",
    ),
    (
        "{He} walked around and thought.",
        "{He} sat {spot} and thought for a long time.",
        '"What can I do?" {he} asked {friend}.',
    ),
    (
        '"You can make something," said {friend}.',
        "Then {he} had an idea.",
        '"The best gifts are made by hand," said {friend}.',
    ),
    (
        "All day long {hero} worked with wood and paint.",
        "{hero} picked flowers in the high grass and tied them together.",
        "In the kitchen {hero} made {food}, and {friend} helped.",
    ),
    (
        "When the day came, {hero} was afraid that it was not good enough.",
        "{He} put it into a box with a red ribbon.",
        "On the birthday {he} waited at the door.",
    ),
    (
        "But {his} {elder} was so happy that nobody could speak for a while.",
        '"I have never had a better gift," said {his} {elder}.',
        "{His} {elder} put it in the best place of the house.",
    ),
)

GARDEN: Plot = (
    (
        "{Time}, {hero} found a seed {spot}.",
        "{Time}, {friend} gave {hero} a single seed.",
        "{Time}, {hero} bought a seed for one coin.",
    ),
    (
        "{He} planted it {other_spot} and gave it water.",
        "{He} put it into the earth {other_spot}.",
        '"It will be {a_plant}," said {friend}.',
    ),
    (
        "The next morning {he} ran to look, but there was nothing to see.",
        "A week went by, and nothing happened.",
        "{He} looked every hour, but the earth was bare.",
    ),
    (
        '"Is it dead?" asked {hero}. "It needs time," said {friend}.',
        '{hero} wanted to dig it up, but {friend} said, "Wait."',
        "{hero} learned to wait, and that was hard.",
    ),
    (
        "Every day {he} gave it water and pulled out the weeds.",
        "When it was hot, {he} brought water from the well.",
        "One night it was cold, and {hero} covered the place with straw.",
    ),
    (
        "Then, one morning, there was a small green leaf.",
        "At last something green came out of the earth.",
        "After the rain there it was, as small as a finger.",
    ),
    (
        "By the end of summer it was the biggest {plant} in the village.",
        "It grew and grew until it was taller than {hero}.",
        "Now everybody comes to see the {plant}, and {hero} gives each of them a seed.",
    ),
)

HONEST: Plot = (
    (
        "{Time}, {hero} played with a ball in the house.",
        "{Time}, {hero} ran through the kitchen.",
        "{Time}, {hero} wanted to see what was on the high shelf.",
    ),
    (
        "Crash! The blue bowl of {his} {elder} lay in pieces.",
        "A cup fell down and broke.",
        "Then there was a loud noise, and the window was broken.",
    ),
    ("Nobody had seen it.", "{hero} was alone, and nobody knew.", "{He} looked around. Only the cat had seen it."),
    (
        '"I could say that it was the cat," {he} thought.',
        "{He} wanted to hide the pieces {spot}.",
        "{hero} swept up the pieces and hid them.",
    ),
    (
        "But {he} could not eat and could not play.",
        "But {his} stomach hurt, and {he} could not sleep.",
        '"What would you do?" {he} asked {friend}. "I would tell the truth," said {friend}.',
    ),
    (
        'In the evening {he} said, "It was me. I am sorry."',
        "So {hero} went to {his} {elder} and told everything.",
        "{He} took a deep breath and told the truth.",
    ),
    (
        '"Thank you for telling me," said {his} {elder}. "We will mend it together."',
        "{His} {elder} was sad about it, but proud of {hero}.",
        '"A bowl can be mended," said {his} {elder}. "Trust is harder to mend."',
    ),
)

PLOTS: tuple[tuple[Plot, Moment], ...] = (
    (LOST, GLAD),
    (BUILD, GLAD),
    (STORM, GLAD),
    (SHARE, GLAD),
    (RACE, GLAD),
    (NIGHT, CALM),
    (LEARN, GLAD),
    (MAP, GLAD),
    (QUARREL, GLAD),
    (GIFT, GLAD),
    (GARDEN, GLAD),
    (HONEST, CALM),
)
"Every plot with the endings that suit it."
