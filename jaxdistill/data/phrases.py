"""The words and turns of phrase of the synthetic reviews (data/reviews.py), English and Chinese.

In frames, {s} is what is judged, {w} the judging word, {i} an adverb of degree; in joins, {0} and
{1} are clauses in the order in which they are read. Praise and blame are lists of equal length, and
every frame takes both, so that no word but the judging ones leans to either side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Words(NamedTuple):
    """Judging words: praise[i] and blame[i] are counterparts."""

    praise: tuple[str, ...]
    blame: tuple[str, ...]


class Topic(NamedTuple):
    """What is reviewed."""

    aspects: tuple[str, ...]
    """What is judged about it."""
    adjectives: Words
    """Those that only this topic uses."""
    openings: tuple[str, ...]
    """Sentences that judge nothing."""


class Frames(NamedTuple):
    """The clauses that one kind of judging word stands in."""

    plain: tuple[str, ...]
    graded: tuple[str, ...]
    negated: tuple[str, ...]
    reported: tuple[str, ...]
    """What others find, what was expected or would have been possible: not the writer's verdict."""
    reported_negated: tuple[str, ...]
    strong: tuple[str, ...]
    """Adverbs that intensify."""
    weak: tuple[str, ...]
    """Adverbs that weaken."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """All that a review of one language is made of."""

    topics: tuple[Topic, ...]
    adjectives: Words
    """Those that every topic uses."""
    verbs: Words
    adjective_frames: Frames
    verb_frames: Frames
    pronoun: str
    """Stands for an aspect that the clause before has named."""
    concession_first: tuple[str, ...]
    """Joins of a conceded clause and a stated one."""
    concession_last: tuple[str, ...]
    """Joins of a stated clause and a conceded one."""
    addition: tuple[str, ...]
    """Joins of two stated clauses."""
    aside: tuple[str, ...]
    """Joins of a reported clause and the rest, in either order."""
    stop: str
    """Ends a sentence."""


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|"))


def _nouns(text: str) -> tuple[str, ...]:
    return tuple(f"the {part}" for part in _list(text))


_ENGLISH = Language(
    topics=(
        Topic(
            _nouns("plot|acting|ending|dialogue|camera work|pacing|soundtrack|cast|script|humour|finale|storyline"),
            Words(
                _list("gripping|moving|witty|inventive|subtle|clever"),
                _list("tedious|wooden|predictable|clumsy|shallow|messy"),
            ),
            _list(
                "We watched it on a Sunday evening|The cinema was half full|It runs for two hours|"
                "I saw the film with my brother|This was my second film of the week"
            ),
        ),
        Topic(
            _nouns("soup|dessert|fish|rice|bread|salad|sauce|breakfast|curry|cake|pasta|steak"),
            Words(
                _list("tasty|fresh|tender|fragrant|crisp|juicy"),
                _list("bland|greasy|stale|soggy|burnt|watery"),
            ),
            _list(
                "We had a table by the window|I came here for lunch|There were four of us|"
                "The restaurant is near the station|We ordered from the evening menu"
            ),
        ),
        Topic(
            _nouns("room|lobby|bathroom|corridor|pool|terrace|lounge|gym|sauna|suite|balcony|garden"),
            Words(
                _list("clean|quiet|cosy|bright|tidy|spacious"),
                _list("dirty|noisy|draughty|gloomy|smelly|cramped"),
            ),
            _list(
                "We stayed two nights|I was there on business|The hotel is close to the harbour|"
                "We booked it in March|My family stayed here last summer"
            ),
        ),
        Topic(
            _nouns("screen|camera|keyboard|speaker|software|charger|menu|case|microphone|battery|touchpad|display"),
            Words(
                _list("fast|sturdy|sleek|reliable|handy|polished"),
                _list("slow|flimsy|ugly|buggy|fragile|clunky"),
            ),
            _list(
                "I bought it in May|The parcel came after a week|I use it at work every day|"
                "It replaced my old phone|I have owned it for a month"
            ),
        ),
    ),
    adjectives=Words(
        _list(
            "good|nice|lovely|pleasant|charming|likeable|satisfying|appealing|great|brilliant|"
            "thoughtful|refreshing|solid|admirable"
        ),
        _list(
            "bad|poor|awful|miserable|annoying|horrible|frustrating|dull|weak|dreadful|"
            "careless|tiresome|shoddy|pitiful"
        ),
    ),
    verbs=Words(
        _list("delighted|charmed|impressed|amused|cheered"),
        _list("annoyed|bored|disappointed|irritated|depressed"),
    ),
    adjective_frames=Frames(
        plain=_list(
            "{s} was {w}|{s} felt {w}|I found {s} {w}|{s} turned out {w}|we thought {s} {w}|"
            "in my eyes {s} was {w}"
        ),
        graded=_list("{s} was {i} {w}|{s} felt {i} {w}|I found {s} {i} {w}|we thought {s} {i} {w}"),
        negated=_list(
            "{s} was not {w}|{s} was never {w}|{s} was hardly {w}|{s} was far from {w}|"
            "{s} was anything but {w}|{s} was by no means {w}|I would not call {s} {w}|"
            "nobody could call {s} {w}|we did not find {s} {w}"
        ),
        reported=_list(
            "my friend called {s} {w}|the neighbours said {s} was {w}|my sister found {s} {w}|"
            "people online described {s} as {w}|everyone else thought {s} {w}|"
            "I had expected {s} to be {w}|in better hands {s} could have been {w}"
        ),
        reported_negated=_list(
            "my friend would not call {s} {w}|the neighbours said {s} was not {w}|"
            "my sister did not find {s} {w}|people online described {s} as far from {w}|"
            "I had expected {s} to be anything but {w}"
        ),
        strong=_list("truly|absolutely|utterly|thoroughly"),
        weak=_list("slightly|somewhat|mildly|a little"),
    ),
    verb_frames=Frames(
        plain=_list("{s} {w} us|{s} {w} me|in the end {s} {w} us|I must say {s} {w} me"),
        graded=_list("{s} {i} {w} us|{s} {i} {w} me|in the end {s} {i} {w} us"),
        negated=_list("{s} never {w} us|{s} hardly {w} me|{s} by no means {w} us|{s} has not {w} me"),
        reported=_list(
            "{s} {w} my sister|{s} {w} everyone else|{s} {w} the neighbours|"
            "my friend said {s} {w} her"
        ),
        reported_negated=_list(
            "{s} never {w} my friend|{s} hardly {w} the neighbours|{s} has not {w} my sister"
        ),
        strong=_list("truly|absolutely|utterly|thoroughly"),
        weak=_list("slightly|somewhat|mildly"),
    ),
    pronoun="it",
    concession_first=_list(
        "although {0}, {1}|even though {0}, {1}|{0}, but {1}"
    ),
    concession_last=_list(
        "{0}, although {1}|{0}, even though {1}"
    ),
    addition=_list("{0} and {1}|{0}; {1}|{0}. {1}|{0} and also {1}"),
    aside=_list("{0}. {1}|{0}; {1}"),
    stop=".",
)

_CHINESE = Language(
    topics=(
        Topic(
            _list("剧情|表演|配乐|结尾|台词|画面|节奏|开头|剪辑|特效"),
            Words(_list("精彩|动人|巧妙|细腻|新颖|扎实"), _list("拖沓|老套|生硬|混乱|空洞|平淡")),
            _list(
                "周日晚上和家人一起看的|影院里坐了一半人|片长两个小时|这是本周看的第二部电影|"
                "首映那天去看了这部片子"
            ),
        ),
        Topic(
            _list("汤|米饭|烤鱼|甜点|凉菜|酱汁|早餐|面条|牛肉|豆腐"),
            Words(_list("美味|鲜嫩|可口|清爽|地道|入味"), _list("油腻|寡淡|难吃|粗糙|干硬|腥气")),
            _list(
                "我们四个人坐在窗边|中午下班后来这里吃饭|餐馆就在地铁站旁边|晚上点了一份套餐|"
                "周末排队进了这家店"
            ),
        ),
        Topic(
            _list("房间|大堂|浴室|走廊|泳池|露台|餐厅|健身房|茶室|套房"),
            Words(_list("干净|安静|温馨|明亮|整洁|舒适"), _list("肮脏|吵闹|狭小|阴暗|潮湿|破旧")),
            _list(
                "我们在这里住了两晚|这次出差住在这里|酒店离码头很近|三月份提前订的房|"
                "去年夏天带孩子来住过"
            ),
        ),
        Topic(
            _list("屏幕|键盘|系统|音箱|相机|充电器|机身|菜单|保护壳|麦克风"),
            Words(_list("流畅|结实|轻巧|可靠|顺手|精致"), _list("卡顿|脆弱|笨重|难用|迟钝|廉价")),
            _list(
                "五月份在网上买的|快递一周后才到|上班每天都在用|用来换掉旧手机|到手已经一个月了"
            ),
        ),
    ),
    adjectives=Words(
        _list("好|棒|出色|讨喜|用心|理想|让人满意|令人惊喜|值得称赞|令人难忘"),
        _list("差|糟|糟糕|讨厌|敷衍|马虎|让人失望|令人烦躁|难以忍受|令人后悔"),
    ),
    verbs=Words(_list("打动|吸引|取悦|征服"), _list("惹恼|冒犯|得罪|激怒")),
    adjective_frames=Frames(
        plain=_list(
            "{s}很{w}|{s}挺{w}的|{s}确实{w}|我觉得{s}很{w}|在我看来{s}很{w}|{s}可以说很{w}"
        ),
        graded=_list("{s}{i}{w}|我觉得{s}{i}{w}|在我看来{s}{i}{w}"),
        negated=_list(
            "{s}并不{w}|{s}一点也不{w}|{s}算不上{w}|{s}谈不上{w}|{s}绝对不能说{w}|我不觉得{s}{w}|"
            "没人会说{s}{w}|很难说{s}{w}"
        ),
        reported=_list(
            "朋友说{s}很{w}|网友都说{s}很{w}|妹妹觉得{s}很{w}|同事一直说{s}{w}|"
            "我本来以为{s}会很{w}|换一个团队来做,{s}本来可以很{w}"
        ),
        reported_negated=_list(
            "朋友说{s}并不{w}|网友都说{s}算不上{w}|妹妹不觉得{s}{w}|我本来以为{s}不会{w}"
        ),
        strong=_list("非常|特别|极其|格外|十分"),
        weak=_list("有点|比较|有几分|多少有些|稍微有点"),
    ),
    verb_frames=Frames(
        plain=_list("{s}{w}了我们|{s}{w}了我|{s}最后{w}了我们|老实说{s}{w}了我"),
        graded=_list("{s}{i}{w}了我们|{s}{i}{w}了我|{s}最后{i}{w}了我们"),
        negated=_list("{s}没有{w}我们|{s}从未{w}我|{s}根本没有{w}我|{s}并没有{w}我们"),
        reported=_list("{s}{w}了我妹妹|{s}{w}了同行的朋友|听说{s}{w}了不少网友|听同事说{s}{w}了他"),
        reported_negated=_list("{s}没有{w}我妹妹|听说{s}从未{w}同行的朋友|{s}并没有{w}别的网友"),
        strong=_list("深深|彻底|完全"),
        weak=_list("稍稍|略微|多少"),
    ),
    pronoun="它",
    concession_first=_list(
        "虽然{0},但是{1}|虽然{0},{1}|尽管{0},{1}|{0},不过{1}|{0},但是{1}"
    ),
    concession_last=_list("{0},虽然{1}|{0},尽管{1}"),
    addition=_list("{0},{1}|{0};{1}|{0}。{1}|{0},同时{1}"),
    aside=_list("{0}。{1}|{0};{1}"),
    stop="。",
)

LANGUAGES: Mapping[str, Language] = {"en": _ENGLISH, "zh": _CHINESE}
"""By ISO 639-1 code."""
