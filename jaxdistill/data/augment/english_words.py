"""English words and what each mostly is, where its ending does not say so or says otherwise.

Tags of the Penn Treebank. Written for this project. Of verbs, nouns and adjectives it is the form
without an ending; english.py knows the others by it.
"""

CLOSED = {
    "DT": "the a an this these those each every some any no another all both either neither",
    "IN": """
    of in on at by for with without from into onto upon over under above below between among amongst
    amid through throughout during before after since until till against about around across along
    alongside behind beneath beside besides beyond despite near inside outside toward towards via
    within if because as that like unlike than whether while whilst although though unless except
    per lest regarding concerning""",
    "TO": "to",
    "CC": "and or but nor plus & n et versus vs",
    "PRP": """
    i you he she it we they me him us them myself yourself himself herself itself ourselves
    yourselves themselves oneself mine yours hers ours theirs 'em thee thou ya""",
    "PRP$": "my your his her its our their thy",
    "EX": "there",
    "MD": "can could may might must shall should will would ca wo sha ought cannot 'll 'd",
    "WDT": "which whichever",
    "WP": "who whom what whoever whatever whomever",
    "WP$": "whose",
    "WRB": "how when where why whenever wherever",
    "RP": "up out off",
    "POS": "'s",
    "CD": """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred
    thousand million billion trillion zero""",
    "VBZ": "is has does isn doesn hasn",
    "VBP": "are am have do 're 've 'm aren don haven ain ai",
    "VBD": "was were had did wasn weren hadn didn",
    "VB": "be let",
    "VBN": "been done",
    "VBG": "being having doing",
    "RB": """
    n't not t never ever always often sometimes seldom soon now then here just only even also too
    very so quite rather almost yet still already again once twice perhaps maybe instead together
    apart away back down else enough well far ago forth hence thus therefore otherwise anyway
    somewhat somehow somewhere anywhere everywhere nowhere elsewhere indeed altogether alike
    likewise meanwhile however nevertheless nonetheless moreover furthermore later today tomorrow
    yesterday tonight abroad ahead afterward afterwards forever forward ashore overnight overseas
    downstairs upstairs aside alone thereby upward upwards downward downwards onward backward
    backwards afar afoot anew apiece aloud awhile straight""",
    "RBR": "earlier sooner",
    "RBS": "most",
    "UH": "oh ah yes hey wow hello ok okay yeah alas please uh um hmm gee ha ugh ouch bye",
}
"""Words of grammar, adverbs without an ending, and what the splitter leaves of contractions."""

OPEN = {
    "VB": """
    accept acquire adapt add admit adopt agree aim allege allow amuse announce annoy appear apply
    appoint approve argue arise arrange arrest arrive ask assess assign assume attend attract avoid
    await bear become begin believe belong bend betray boast bore borrow bother bring build buy
    captivate carry catch cater celebrate choose cite collect collide come compare compete complain
    compose conclude confirm confuse connect conquer consider consist construct consult consume
    contain contend continue contribute contrive convert convey convince cope correspond create cut
    dazzle decide declare dedicate deem defeat defend define deliver demonstrate deny depend depict
    deploy derive deserve destroy detain detect develop devote die differ diminish discover discuss
    distinguish distract distribute disturb divert divide dominate drown earn eat elevate eliminate
    emerge employ enable encourage endorse endure enforce engage enhance enjoy enrich ensue ensure
    enter entertain enthrall erupt establish evoke evolve examine exceed exist expand expect explain
    exploit explore expose express extend fail fascinate fill find fit fix flee flourish fly follow
    forget forgive foster frighten frustrate fulfill fumble gather generate get give go grab grow
    handle hang happen hate haunt heal hear hire hurt ignore imagine impose include incorporate
    indicate inform infuse inhabit initiate injure insist inspire install insult interpret introduce
    invade invent invest invite involve irritate join keep kill know learn leave lend lie linger
    listen live locate lose maintain make manage marry mean meander meet melt merge miss mourn
    obtain occur offend operate oppose overlook overwhelm owe participate perform permit plunge
    ponder pop portray possess preach predict prepare prevail prevent proceed prohibit prolong
    prompt propose prosecute protect prove provide provoke publish punish pursue put quit ramble
    react read recall receive recommend recover recruit reduce refer reflect refuse register reject
    relate relax rely remain remember remind remove render repeat replace represent require resemble
    resign resist respond restore restrict resume retain retire rid satisfy save say see seek seem
    seize select sell send serve settle sing sit soar solve speak spend spoof squander stem
    substitute succeed succumb suck sue suffer suggest suppose surrender surround survive suspect
    sustain swim take teach tell tend think threaten throw topple toss transcend transform try
    undermine understand unfold unite unveil upgrade urge vary venture veto want warn wash weaken
    wear wind withdraw write""",
    "VBD": """
    became began bought broke brought came caught chose drew drove fed fell felt flew fought gave
    got grew heard held kept knew lay led lost made meant met paid ran said sank sat saw sent shot
    sold spent spoke stood struck stuck swept thought threw told took went won wore wrote""",
    "VBN": """
    aimed based beaten begun born broken built chosen drawn driven fallen fled forgotten found
    frozen given gone grown hidden known laid left lit seen set shown shut sought spoken stolen
    supposed sworn taken thrown torn used written""",
    "NN": """
    academy accident acid acting action actor actress adolescent advantage advice agency agenda
    agent album alcohol amount angel anger animal anybody anyone anything apple area army art
    article assembly asset attention attorney author avenue award baby background bag ball band bar
    basis bay beach beauty bed beer beginning belief bell belly belt bench benefit bike bird birth
    birthday bit blade blanket block blood boat body bone border boss bottle bottom bowl box boy
    brain bread breast breath brick bronze brother bubble budget building bullet bunch bureau bus
    butter cable camera campaign cancer candy capital captain car carbon card cargo carpet cartoon
    case cash casting cat cell center centre century chain chair chairman chaos chapter character
    charisma cheese chemistry child choice church cinema circle citizen city class client cliff
    climate clip clothing clown club coast coffee collar college comedy comic committee company
    computer concept congress context contract contrast convention cop coral corn costume couch
    council country county couple course court creek crew crime crisis critic crowd crown cult cup
    curve custom danger daughter dawn day death debt decade decision defense deficit degree delivery
    denial depth deputy desert design desk detective device dialogue diamond diet dinner director
    dirt disaster disease dish district dock doctor dog dollar door dose dozen dragon drama drawing
    dress drug duty eagle ear earth east edge editor effect effort egg elder elite embassy emotion
    empathy empire employee ending enemy energy engine enterprise entry epic episode error estate
    evening event everyone everything example excess executive expense expert extent eye fact factor
    failing faith family fan fantasy farce fare farm fashion fate father fault fee feeling fellow
    fence ferry festival fever fiction field film filmmaker filmmaking finger finish firm flaw flick
    flight floor flu folk food foot footage football forest form format formula fraud friend front
    frontier fun funeral gag game gang gap garden garlic gas gate gem gender genre ghost gift girl
    glass goal gold grace grade grandfather grass grief ground group growth guest guitar gun guy
    hair half hall hallmark handful harbor hat health hearing heart heaven height hell hero hill hip
    history hole holiday homage home honesty hood hook horror horse hospital hotel hour house
    household housing humor husband hymn ice idea image incident income index individual industry
    infant ink inquiry instinct intrigue investor island item ivory jacket jet job joint journal
    journey joy jury justice keyboard kid king kitchen knife knowledge lab labor labour lady lake
    landscape lane language laughter law lawsuit lawyer layer league leather leg legend lemon length
    lesson letter liberty library life lifestyle light lighting line logic lord loss lot lunch lung
    machine mafia magazine magic mail malaise male mall man map margin marriage mass master material
    mayor meaning meat mechanic medal medicine medium melodrama member memory mercy merit mess
    message metal metaphor method middle mile military milk minute miracle misery missile mission
    model moment money monk monkey monster month mood moon morning motion motive motor mountain
    mouth movie museum music mystery narrative nation neck network news niche night nightmare nobody
    noise none north nose nothing notion novel nurse objective occasion ocean offering office
    official oil opening opera opinion opponent opposite orbit origin outbreak outcome outlet output
    owner oxygen pacing package page pain painting pair panel paper parent partner passion passport
    path patient pattern peace peak pearl pension pepper percent percentage period person
    perspective pet photo piano piece pill pit pizza plague plane planet plastic plate plea plenty
    poem poet poetry pole policy pool popcorn pope port portion portrait portrayal pot pound poverty
    prayer predecessor premise president prey priest prince princess principle prison prize problem
    product professor profile programme propaganda property proposal prosecutor prospect province
    pub public purpose quarter queen quest rabbit radio rail rape rating reading reason recovery
    reef refugee regime region relief religion rental rep resident response restaurant retail
    retreat revenge revival rhetoric rhythm rice rifle ring riot rival river road robot rocket rod
    role room root rope rose round routine row sack safety saint sake sale salt sand satire scandal
    scenario scene scheme school screenplay screenwriter script sea season sector self sequel series
    sermon setting sex shame shark shelf shell shirt shoe shooting shore shoulder side sight silver
    sin sister sitcom site size skill skin sky slapstick slice snow soap society sofa software soil
    soldier someone something son song soul soundtrack source south span spectacle speech spending
    spirit spite spokesman spokeswoman sport spy squad stadium staff stance station statue status
    steel stereotype stock stomach stone story stranger street strength string strip student studio
    stuff subject success sugar sum summit sun surface surgery suspense sword symbol sympathy system
    table tabloid tale talent tank tape task tea team technique teen teenager telephone television
    temple tension tent territory terror text textbook theater theatre theme theory thing threat
    throne thumb ticket tissue title tobacco tomb ton tone tongue tool top topic tower town toy
    trading traffic tragedy treaty tree trend trial tribe tribute triumph troop truck truth tube
    tunnel turf tv twin type uncle understanding union unit universe vampire van variety vegetable
    vehicle verdict version verve vessel veteran vice victim victory video village villain virgin
    virus vision volume wall war warfare warmth warning warrior water way wealth weapon weather web
    wedding weekend weight west whale widow wife window wine wing winter wire wit witch woman wood
    word workshop world worm writing yard year youth zone""",
    "NNS": """
    cattle children clichés clothes comments credits data demands details earnings feet fireworks
    headquarters laughs lives looks means media men mice moves needs ones pants people plays police
    proceedings shows starts teeth thanks thrills turns women works""",
    "JJ": """
    able absorbing absurd academic accurate acute adult afraid alien alive amazing american amusing
    ancient angry animated annoying annual apparent appealing appropriate arab artificial authentic
    aware awful awkward bad banal basic big bitter bizarre black bland blind blue bold boring brief
    bright brilliant british broad brown calm captivating central charming cheap cheesy chief
    chilling chinese christian civil classic clean clear clever close cold commercial common
    compelling complete complex complicated concrete confident confused confusing consistent
    constant contemporary contrived convincing cool corporate crass crazy criminal crisp crucial
    crude cruel current cute daily damn daring dark dated dazzling dead deadly decent deep delicate
    desperate different difficult digital dirty disappointing diverse domestic dramatic dreary dry
    due dull dumb dutch dynamic eager early eastern easy economic elaborate elderly elegant
    emotional empty endearing engaging english engrossing entertaining entire equal essential evil
    excellent exciting exclusive exotic expensive extra extreme fair false familiar fascinating fat
    fatal favorite federal female few fifth final financial fine first fiscal flat flawed fluid
    foreign formal former fourth fragile free french frequent fresh frightening frustrating full
    fundamental funny gay general generic gentle genuine german giant gifted global golden good
    grand grave gray great greek green gritty gross guilty happy hard harsh haunting heavy high holy
    honest horrifying hot huge human ill illegal immediate impressive independent indian inept
    initial inner innocent inspiring intelligent interesting internal international intimate
    intricate intriguing inventive iraqi irish irritating israeli italian japanese jewish juvenile
    key korean lame large last late latin latter lazy legal liberal likely literary little lively
    local long loose loud lousy lovely low loyal lucky lush mad main mainstream major many marine
    married martial mature mental mere mexican mild minor missing mixed mobile modern modest moral
    moving much multiple murky mutual narrow nasty national native natural new next nice noble
    normal northern nuclear odd offensive old open orange ordinary other outstanding overall
    overwhelming overwrought own pale palestinian partial particular past peculiar perfect permanent
    personal perverse pink plain pleasant pleasing poignant polish poor popular potent potential
    preliminary present presidential primary prime principal prior private pro profound prominent
    promising proper proud pure quarterly quick quiet quirky racial random rapid rare raw ready real
    recent red refreshing related relevant reminiscent remote repetitive rewarding rich right
    riveting romantic royal rural russian sad safe same sane satisfying scary scientific second
    secret senior sensual sentimental separate seventh severe sexual sexy shallow sharp sheer
    shocking short sick significant silly similar simple simplistic sincere single sixth slight
    sloppy slow sluggish small smart smooth smug social solid solo sophisticated sorry sour southern
    soviet spanish special specific spectacular stable stale standard startling static steady
    stirring strange strict striking strong stunning stupid stylish subtle such superb superficial
    superior supreme sure surprising sweet sympathetic tall teenage temporary tender tense terminal
    terrific terrifying thick thin third tight tiny tired total tough toxic traditional tragic trite
    troubled true twisted ugly ultimate uneven unexpected uninspired unique united universal unknown
    unsettling upper urban usual utter vague vapid vast vibrant violent virtual visual vital vivid
    vulgar warm weak weekly weird welcome western wet white whole wide wild willing wise witty
    wooden worldwide worth worthy wrong wry yellow young""",
    "JJR": "better further less more worse",
    "JJS": "best least worst",
    "RB": "downright especially etc fast fully inland nearly onscreen precisely pretty underground",
    "NNP": """
    adam africa alan albert alice allen america angela anna anne anthony april arnold arthur asia
    august barbara ben bob boston brian britain bruce bush california carl chan charles charlie
    chicago china chris christmas christopher clinton daniel david december dickens disney donald
    douglas dr ed edward elizabeth england eric europe eve february france frank friday gary george
    germany god harry henry hollywood hopkins howard hugh ian india iran iraq israel jack jackson
    james january japan jason jean jennifer jim joe john jones joseph jr juan july june kevin kong
    larry lee lisa london lopez louis maria martin mary matt matthew michael microsoft mike monday
    moore mr mrs ms murphy nicholas nick november october oscar paris patrick paul peter phil philip
    ralph ray richard robert roger russia ryan sandler sandra saturday scott september shanghai
    smith spielberg stephen steve steven sunday texas thomas thursday tom tony tuesday victor
    vincent walter washington wednesday william williams woody york""",
    "FW": "de el en la le noir",
    "NN VB": """
    abuse access account act advance age aid air alarm answer appeal approach arm attack attempt
    auction balance ban bank base battle beat bid bill bite blame blend blow board bomb bond book
    boost bounce brand break breed bridge brush burn burst call camp capture care cast cause
    challenge chance change charge charm chase check cheer chill claim clash climb close-up coach
    code collapse color colour comfort command comment compromise concern conduct conflict contact
    content contest control cook copy cost count counter cover crack craft crash credit cry cycle
    damage dance dare date deal debate debut decline decrease delay delight demand desire detail
    dispute divorce doubt draft drag draw dream drill drink drive drop dump embrace encounter end
    engineer escape estimate exchange excuse exercise exit experience experiment export face fall
    favor fear feature feed feel fight file fire fish flash float flood flow focus fool force
    forecast frame fuel function fund gain gamble gasp glimpse grant guarantee guard guess guide
    halt hand harm harvest head heat help hide highlight hint hit hold honor hope host hunger hunt
    impact import increase influence interest interview issue jail joke judge jump kick kiss label
    lack land laugh launch lead leak leap level lift limit link list load loan lock look loop love
    march mark market mask match matter measure mention mind mistake mix move murder name need note
    notice number object offer order pace pack paint park part party pass patrol pay phone pick
    picture pilot pitch place plan plant play pledge plot point poison poll pose position post pour
    power praise press price print probe process produce profit program progress project promise
    protest pull punch purchase push question quote race raid rain raise rally range rank rate reach
    rebel record reform regard regret release remake rent repair report request rescue reserve
    respect rest result reveal reward ride rise risk rock roll rule rumor run rush sacrifice sail
    sample scale scare schedule score scratch scream screen seal search seat sense sentence shadow
    shake shape share shift shine ship shock shoot shop shout show sign signal sink sketch sleep
    slide slip smile smoke sneak sort sound space spark spell spike spill spin split spot spread
    spring squeeze stage stake stand star stare start state stay steal steam steer step stick stop
    store storm strain stream stress stretch strike stroke struggle study stunt style suit supply
    support surge surprise survey sweep swing switch tackle talk target taste tax tear term test
    thank thrill tie time toll touch tour trace track trade train transfer transport travel treat
    trick trigger trip trouble trust turn twist use value view visit voice vote wage wait wake walk
    wander waste watch wave win wish wonder work wound yield""",
}
"""The most frequent other words by their tags; of two the likelier one stands first."""
