"""Words that carry grammar and little else, in English and Chinese.

TinyBERT's augmentation keeps them. Written for this project; its own list has 173 English entries.
"""

_ENGLISH = """
a an the this that these those
i me my mine myself we us our ours ourselves you your yours yourself yourselves
he him his himself she her hers herself it its itself they them their theirs themselves one
who whom whose which what where when why how
am is are was were be been being do does did doing done have has had having
can could may might must shall should will would ought cannot
not no nor never neither either none nothing
and or but if then else than as because since while although though unless until whether so
of in on at by for with without about against between among into onto through during before after
above below to from up down out off over under across along around behind beside besides beyond
near toward towards upon within per via
again further once here there now just only very too also even still yet already ever always often
all any both each every few more most much many other others another some such own same several
less least enough quite rather almost
s t d m ll re ve n't don doesn didn isn aren wasn weren hasn haven hadn won wouldn shouldn couldn
can't
"""

_CHINESE = """
的 了 是 在 和 与 及 或 而 但 但是 也 都 就 还 又 很 太 更 最 不 没 没有 无 有 被 把 将 从 到 对
对于 向 于 为 为了 以 以及 因为 所以 如果 虽然 然而 并 并且 而且 则 却 只 只是 才 再 已 已经
正在 着 过 地 得 之 其 此 该 这 那 这个 那个 这些 那些 这样 那样 这里 那里 我 你 您 他 她 它
我们 你们 他们 她们 它们 自己 谁 什么 怎么 怎样 哪 哪里 哪个 为什么 吗 呢 吧 啊 呀 嘛 哦 啦 个
一个 一些 些 上 下 中 里 内 外 等 等等 会 能 可以 可能 应该 要 想 让 使 给 跟 同 比 像 如 如此
当 每 各 某 另 另外 其他 其中 之后 之前 以后 以前
"""

STOPWORDS = frozenset(f"{_ENGLISH} {_CHINESE}".split())
"""In lower case."""
