"""The Chinese of the synthetic reviews, in simplified characters."""

from __future__ import annotations

from jaxdistill.data.phrases import Frames, Language, Topic, Words, words

CHINESE = Language(
    topics=(
        Topic(
            words("剧情|表演|配乐|结尾|台词|画面|节奏|开头|剪辑|特效"),
            Words(words("精彩|动人|巧妙|细腻|新颖|扎实"), words("拖沓|老套|生硬|混乱|空洞|平淡")),
            words(
                "周日晚上和家人一起看的|影院里坐了一半人|片长两个小时|这是本周看的第二部电影|"
                "首映那天去看了这部片子"
            ),
        ),
        Topic(
            words("汤|米饭|烤鱼|甜点|凉菜|酱汁|早餐|面条|牛肉|豆腐"),
            Words(words("美味|鲜嫩|可口|清爽|地道|入味"), words("油腻|寡淡|难吃|粗糙|干硬|腥气")),
            words(
                "我们四个人坐在窗边|中午下班后来这里吃饭|餐馆就在地铁站旁边|晚上点了一份套餐|"
                "周末排队进了这家店"
            ),
        ),
        Topic(
            words("房间|大堂|浴室|走廊|泳池|露台|餐厅|健身房|茶室|套房"),
            Words(words("干净|安静|温馨|明亮|整洁|舒适"), words("肮脏|吵闹|狭小|阴暗|潮湿|破旧")),
            words(
                "我们在这里住了两晚|这次出差住在这里|酒店离码头很近|三月份提前订的房|"
                "去年夏天带孩子来住过"
            ),
        ),
        Topic(
            words("屏幕|键盘|系统|音箱|相机|充电器|机身|菜单|保护壳|麦克风"),
            Words(words("流畅|结实|轻巧|可靠|顺手|精致"), words("卡顿|脆弱|笨重|难用|迟钝|廉价")),
            words("五月份在网上买的|快递一周后才到|上班每天都在用|用来换掉旧手机|到手已经一个月了"),
        ),
    ),
    adjectives=Words(
        words("好|棒|出色|讨喜|用心|理想|让人满意|令人惊喜|值得称赞|令人难忘"),
        words("差|糟|糟糕|讨厌|敷衍|马虎|让人失望|令人烦躁|难以忍受|令人后悔"),
    ),
    verbs=Words(words("打动|吸引|取悦|征服"), words("惹恼|冒犯|得罪|激怒")),
    adjective_frames=Frames(
        plain=words(
            "{s}很{w}|{s}挺{w}的|{s}确实{w}|我觉得{s}很{w}|在我看来{s}很{w}|{s}可以说很{w}"
        ),
        graded=words("{s}{i}{w}|我觉得{s}{i}{w}|在我看来{s}{i}{w}"),
        negated=words(
            "{s}并不{w}|{s}一点也不{w}|{s}算不上{w}|{s}谈不上{w}|我不觉得{s}{w}|没人会说{s}{w}|"
            "很难说{s}{w}"
        ),
        reported=words(
            "朋友说{s}很{w}|网友都说{s}很{w}|妹妹觉得{s}很{w}|同事一直说{s}{w}|"
            "我本来以为{s}会很{w}|换一个团队来做，{s}本来可以很{w}"
        ),
        reported_negated=words(
            "朋友说{s}并不{w}|网友都说{s}算不上{w}|妹妹不觉得{s}{w}|我本来以为{s}不会{w}"
        ),
        strong=words("非常|特别|极其|格外"),
        weak=words("有点|比较|多少有些|稍微有点"),
    ),
    verb_frames=Frames(
        plain=words("{s}{w}了我们|{s}{w}了我|{s}最后{w}了我们|老实说{s}{w}了我"),
        graded=words("{s}{i}{w}了我们|{s}{i}{w}了我|{s}最后{i}{w}了我们"),
        negated=words("{s}没有{w}我们|{s}从未{w}我|{s}根本没有{w}我|{s}并没有{w}我们"),
        reported=words("{s}{w}了我妹妹|{s}{w}了同行的朋友|听说{s}{w}了不少网友|听同事说{s}{w}了他"),
        reported_negated=words("{s}没有{w}我妹妹|听说{s}从未{w}同行的朋友|{s}并没有{w}别的网友"),
        strong=words("深深|彻底|完全"),
        weak=words("稍稍|略微|多少"),
    ),
    pronoun="它",
    concession_first=words("虽然{0}，但是{1}|虽然{0}，{1}|尽管{0}，{1}|{0}，不过{1}|{0}，但是{1}"),
    concession_last=words("{0}，虽然{1}|{0}，尽管{1}"),
    addition=words("{0}，{1}|{0}；{1}|{0}。{1}|{0}，同时{1}"),
    aside=words("{0}。{1}|{0}；{1}"),
    stop="。",
)
