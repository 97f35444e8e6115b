"""The English of the synthetic reviews."""

from __future__ import annotations

from jaxdistill.data.phrases import Frames, Language, Topic, Words, words


def _nouns(text: str) -> tuple[str, ...]:
    return tuple(f"the {noun}" for noun in words(text))


ENGLISH = Language(
    topics=(
        Topic(
            _nouns(
                "plot|acting|ending|dialogue|camera work|pacing|soundtrack|cast|script|humour|"
                "finale|storyline"
            ),
            Words(
                words("gripping|moving|witty|inventive|subtle|clever"),
                words("tedious|wooden|predictable|clumsy|shallow|messy"),
            ),
            words(
                "We watched it on a Sunday evening|The cinema was half full|It runs for two hours|"
                "I saw the film with my brother|This was my second film of the week|"
                "Its director is from Norway|A cousin lent us the tickets|"
                "The story begins in a small town"
            ),
        ),
        Topic(
            _nouns("soup|dessert|fish|rice|bread|salad|sauce|breakfast|curry|cake|pasta|steak"),
            Words(
                words("tasty|fresh|tender|fragrant|crisp|juicy"),
                words("bland|greasy|stale|soggy|burnt|watery"),
            ),
            words(
                "We had a table by the window|I came here for lunch|There were four of us|"
                "The restaurant is near the station|We ordered from the evening menu|"
                "Our waiter spoke three languages|They open at eleven|"
                "The kitchen can be seen from outside"
            ),
        ),
        Topic(
            _nouns(
                "room|lobby|bathroom|corridor|pool|terrace|lounge|gym|sauna|suite|balcony|garden"
            ),
            Words(
                words("clean|quiet|cosy|bright|tidy|spacious"),
                words("dirty|noisy|draughty|gloomy|smelly|cramped"),
            ),
            words(
                "We stayed two nights|I was there on business|The hotel is close to the harbour|"
                "We booked it in March|My family stayed here last summer|"
                "There are forty rooms on five floors|Check-in took ten minutes|"
                "A taxi brought us from the airport"
            ),
        ),
        Topic(
            _nouns(
                "screen|camera|keyboard|speaker|software|charger|menu|case|microphone|battery|touchpad|"
                "display"
            ),
            Words(
                words("fast|sturdy|sleek|reliable|handy|polished"),
                words("slow|flimsy|ugly|buggy|fragile|clunky"),
            ),
            words(
                "I bought it in May|The parcel came after a week|I use it at work every day|"
                "It replaced my old phone|I have owned it for a month|"
                "It comes in black and in white|Mine was made last year|"
                "A colleague has the same model"
            ),
        ),
    ),
    adjectives=Words(
        words(
            "good|nice|lovely|pleasant|charming|likeable|satisfying|appealing|great|brilliant|"
            "marvellous|refreshing|solid|admirable"
        ),
        words(
            "bad|poor|awful|miserable|annoying|horrible|frustrating|dull|weak|dreadful|"
            "hopeless|tiresome|shoddy|pitiful"
        ),
    ),
    verbs=Words(
        words("delighted|charmed|impressed|amused|cheered"),
        words("annoyed|bored|disappointed|irritated|depressed"),
    ),
    adjective_frames=Frames(
        plain=words(
            "{s} was {w}|{s} felt {w}|I found {s} {w}|{s} turned out {w}|we thought {s} {w}|"
            "in my eyes {s} was {w}"
        ),
        graded=words("{s} was {i} {w}|{s} felt {i} {w}|I found {s} {i} {w}|we thought {s} {i} {w}"),
        negated=words(
            "{s} was not {w}|{s} was never {w}|{s} was hardly {w}|{s} was far from {w}|"
            "I would not call {s} {w}|nobody could call {s} {w}|we did not find {s} {w}"
        ),
        reported=words(
            "my friend called {s} {w}|the neighbours said {s} was {w}|my sister found {s} {w}|"
            "people online described {s} as {w}|everyone else thought {s} {w}|"
            "I had expected {s} to be {w}|in better hands {s} could have been {w}"
        ),
        reported_negated=words(
            "my friend would not call {s} {w}|the neighbours said {s} was not {w}|"
            "my sister did not find {s} {w}|people online described {s} as far from {w}|"
            "I had expected {s} to be far from {w}"
        ),
        strong=words("truly|absolutely|utterly"),
        weak=words("slightly|somewhat|a little"),
    ),
    verb_frames=Frames(
        plain=words("{s} {w} us|{s} {w} me|in the end {s} {w} us|I must say {s} {w} me"),
        graded=words("{s} {i} {w} us|{s} {i} {w} me|in the end {s} {i} {w} us"),
        negated=words("{s} never {w} us|{s} hardly {w} me|{s} has not {w} me"),
        reported=words(
            "{s} {w} my sister|{s} {w} everyone else|{s} {w} the neighbours|"
            "my friend said {s} {w} her"
        ),
        reported_negated=words(
            "{s} never {w} my friend|{s} hardly {w} the neighbours|{s} has not {w} my sister"
        ),
        strong=words("truly|absolutely|utterly"),
        weak=words("slightly|somewhat"),
    ),
    pronoun="it",
    concession_first=words("although {0}, {1}|even though {0}, {1}|{0}, but {1}"),
    concession_last=words("{0}, although {1}|{0}, even though {1}"),
    addition=words("{0} and {1}|{0}; {1}|{0}. {1}|{0}, and {1}"),
    aside=words("{0}. {1}|{0}; {1}"),
    stop=".",
)
