"""The connecting sentences of a tutorial, in both languages. Each list has several ways to say the same.

`{title}` is the concept, `{goal}` the learner's goal, `{names}` a list of other concepts, `{minutes}` a time.
"""

from collections.abc import Mapping

from roadmap.llm.offline.pack import Both

Variants = Both[tuple[str, ...]]

HEADINGS: Mapping[str, Variants] = {
    "aims": Both(
        ("What you will be able to do", "After this tutorial", "What to take away"),
        ("学完能做什么", "学习目标", "读完之后"),
    ),
    "ideas": Both(
        ("The ideas", "How it works", "What you need to know"), ("核心内容", "它是怎么回事", "需要弄懂的几点")
    ),
    "example": Both(
        ("A worked example", "Seen at work", "One case in full"), ("完整的例子", "实际看一遍", "一个具体案例")
    ),
    "errors": Both(
        ("Common misunderstandings", "Where people go wrong", "What is often believed, and is wrong"),
        ("常见误解", "容易弄错的地方", "听起来对、其实不对的说法"),
    ),
    "practice": Both(("Now you", "Exercise", "Try it"), ("动手练习", "轮到你了", "练一练")),
    "summary": Both(("In short", "Summary", "What to remember"), ("小结", "一句话回顾", "要记住的")),
}

OPENING: Variants = Both(
    (
        "Your goal is “{goal}”, and “{title}” is one step on that way. Ask of each statement where you would meet it.",
        "“{goal}”: that is what you want to reach. This tutorial takes one thing that you need for it: “{title}”.",
        "Here you learn about “{title}”. For “{goal}” you need it at your fingertips, not in a book to look it up in.",
        "Why “{title}”, when the goal is “{goal}”? Because half-knowledge of it shows later, in mistakes hard to find.",
    ),
    (
        "你的目标是“{goal}”，“{title}”是这条路上的一步。每读一条都问问自己：在实际任务里会在哪里用到它？",
        "“{goal}”是你想到达的地方。本教程只讲其中需要的一件事：“{title}”。",
        "这里学习的是“{title}”。要实现“{goal}”，就得用得熟练，而不必每次去查。",
        "目标是“{goal}”，为什么要学“{title}”？因为一知半解日后会变成难以追查的错误。",
    ),
)
WHY_CARE: Variants = Both(
    (
        "Mistakes made here are paid for later, so a little care is well spent.",
        "Everything else is left to its own place in the plan: here, one thing at a time.",
        "Read it with a concrete piece of your goal in mind, and the statements below will have something to stick to.",
    ),
    (
        "这里弄错的地方以后要加倍偿还，现在多花一点心思很值得。",
        "其余内容留给计划中的其他概念；在这里，深入比快更重要。",
        "带着目标中一个具体的任务来读，下面的每一条才有着落。",
    ),
)
BUILDS_ON: Variants = Both(
    (
        "It builds on {names}. If that ground feels shaky, go back for five minutes first.",
        "You come from {names}; keep your notes at hand, for what is explained there is not explained again.",
        "What you learned in {names} is taken for granted here.",
    ),
    (
        "它建立在{names}之上；如果印象模糊了，先花五分钟回顾一下。",
        "前面学过的{names}会直接用到，下文不再重复解释。",
        "这里默认你已经掌握了{names}。",
    ),
)
STARTS_FRESH: Variants = Both(
    (
        "Nothing else from the plan is needed before it.",
        "You can start here without having read any other part of the plan.",
    ),
    ("开始之前不需要计划中的其他内容。", "不必先读计划的其他部分，可以直接从这里开始。"),
)
TIME: Variants = Both(
    (
        "Set aside about {minutes} minutes: a third to read, the rest to work with pen or keyboard.",
        "Plan for {minutes} minutes in all. Most of them belong to the exercise, not to the reading.",
        "The {minutes} minutes in your plan are meant for the exercise as much as for the reading.",
    ),
    (
        "预留大约 {minutes} 分钟：三分之一阅读，其余时间动手。",
        "总共计划 {minutes} 分钟，大部分应当花在练习而不是阅读上。",
        "计划中的 {minutes} 分钟包含阅读与练习，动手的部分更重要。",
    ),
)
LEVEL_ADVICE: Mapping[str, Both[str]] = {
    "beginner": Both(
        "Go slowly, and try each statement on a small case of your own before you read the next one.",
        "不用求快：每读一条，先用自己的小例子试一试，再看下一条。",
    ),
    "intermediate": Both(
        "You may know some of the words already; what counts now is to make them exact.",
        "有些词你可能已经见过，现在要做的是把它们弄得准确。",
    ),
    "advanced": Both(
        "At this level the limits of a rule matter more than the rule, so read every condition twice.",
        "到了这个层次，规则的边界比规则本身更重要，每个限定条件都值得读两遍。",
    ),
}
AIMS_INTRO: Variants = Both(
    ("When you are through, you can:", "You have understood it when you can:", "The test of success is that you can:"),
    ("完成之后，你能够：", "做到以下几点，才算真正学会：", "检验标准是你能够："),
)
TELLING_INTRO: Variants = Both(
    (
        "Take the points one at a time. After each, stop and say it again in your own words.",
        "Each of the following paragraphs holds one idea. They are short on purpose: think longer than you read.",
    ),
    ("下面一点一点来。每读完一点，停下来用自己的话复述一遍。", "以下每段只讲一个想法，写得很短，请多想少读。"),
)
LEADS: Variants = Both(
    (
        "Start with this.",
        "A second point belongs to it.",
        "The next one is easy to overlook.",
        "Then comes what decides many practical cases.",
        "And one more, which people tend to forget.",
    ),
    (
        "先看第一点。",
        "与它相关的是第二点。",
        "接下来这一点容易被忽略。",
        "再看一点，许多实际情形由它决定。",
        "最后一点，人们常常忘记。",
    ),
)
LISTED_INTRO: Variants = Both(
    (
        "These statements carry the concept. For each, find out why it must be so before you go on.",
        "If you had to put the concept on one page, these lines would be on it.",
    ),
    ("下面几条撑起了整个概念。每一条都先想清楚为什么如此，再往下读。", "如果要把这个概念写在一页纸上，应当有这几行。"),
)
LISTED_OUTRO: Variants = Both(
    (
        "Do not learn them by heart. Cover the list, write down what you remember, and compare with it.",
        "Now look for the line that surprised you most, and invent a case in which ignoring it goes wrong.",
    ),
    (
        "不要死记硬背。盖住列表，写下记得的内容再对照：漏掉的那一条就是接下来要下功夫的。",
        "找出最让你意外的一条，设想一个忽略它就会出错的场景。",
    ),
)
CORE: Variants = Both(
    (
        "Two sentences first, from which most of the rest can be worked out.",
        "At its core stand two statements; read them twice before you go on.",
    ),
    ("先看两句话，其余大多可以由此想明白。", "核心是两条，请读两遍再往下看。"),
)
DETAILS: Variants = Both(
    (
        "The details matter as soon as you work with it:",
        "With that in mind, three more things are worth knowing exactly:",
        "What else you will meet in practice:",
    ),
    ("一旦动手，这些细节就很重要：", "在此基础上，还有三点值得准确掌握：", "实践中还会遇到："),
)
AIMED_INTRO: Variants = Both(
    ("The aims from above, one by one, with what you need to know for each.",),
    ("按上面的目标逐个展开，看看每个目标需要知道什么。",),
)
AIMED_REST: Variants = Both(("Good to know for all of them:",), ("对所有目标都有用的一点：",))
EXAMPLE_INTRO: Variants = Both(
    (
        "Read the case once for the whole, then again for the details.",
        "Before you read the explanation, guess what comes out.",
        "Follow each step, and stop where you would have done something else.",
    ),
    (
        "先通读一遍了解全貌，再细看每个细节。",
        "看解释之前，先猜一猜结果是什么。",
        "跟着每一步走，遇到与你想法不同的地方就停下来。",
    ),
)
EXAMPLE_OUTRO: Variants = Both(
    (
        "Change one thing in it and predict what happens before you check.",
        "Close the page and rebuild the example from memory; what you cannot rebuild you have not understood yet.",
        "Ask which of the statements in this tutorial the example relies on: name at least two.",
    ),
    (
        "改动其中一处，先预测结果，再去验证。",
        "合上页面凭记忆重做这个例子；重做不出来的地方，就是还没懂的地方。",
        "想一想：这个例子用到了本教程中的哪几条？至少说出两条。",
    ),
)
ERRORS_INTRO: Variants = Both(
    (
        "The following sentences are all wrong, though each sounds right at first.",
        "You will meet these claims in forums and meetings. None of them holds.",
        "Check whether you believed one of these.",
    ),
    (
        "下面这些话乍听有理，其实都是错的。",
        "这些说法在论坛和会议里常能听到，但都不成立。",
        "看看自己有没有信过其中某一条。",
    ),
)
WRONG: Variants = Both(
    ("Wrong.", "This is false.", "Not so.", "That does not hold."),
    ("这是错的。", "并非如此。", "这个说法不成立。", "不对。"),
)
PUT_RIGHT: Variants = Both(
    ("What holds is this: ", "The truth is: ", "Remember instead: "), ("正确的是：", "真实情况是：", "请记住：")
)
WRONG_ALONE: Variants = Both(
    (
        "Where a claim stands without its correction, find a case that speaks against it.",
        "For each of them, explain to somebody else what is wrong; that shows whether the ideas have become clear.",
        "Choose the one that sounds most convincing to you, and write down what should stand in its place.",
    ),
    (
        "没有给出更正的说法，请自己找一个反例。",
        "试着向别人解释每一条错在哪里，这最能检验你是否弄懂了。",
        "挑出听起来最有道理的一条，写下应当取代它的那句话。",
    ),
)
PRACTICE_OUTRO: Variants = Both(
    (
        "Work without looking back first, and check yourself against the ideas above afterwards.",
        "Keep what you produce: you will want to improve it once you know more.",
        "If you are stuck for more than ten minutes, return to the example and find the step that is like yours.",
    ),
    (
        "先不看前文独立完成，再对照上面的内容检查。",
        "保留你的成果，懂得更多之后会想回来改进它。",
        "如果卡住超过十分钟，回到例子里找到与你相似的那一步。",
    ),
)
SUMMARY_INTRO: Variants = Both(
    (
        "If you keep only two sentences about “{title}”, keep these:",
        "Two sentences to take with you towards “{goal}”:",
    ),
    ("关于“{title}”，如果只记两句话，就记这两句：", "朝着“{goal}”前进，请带上这两句话："),
)
NEXT: Variants = Both(
    (
        "Next in your plan: {names}, where you will use what you have just learned.",
        "From here the plan goes on to {names}.",
    ),
    ("计划的下一步是{names}，会用到刚学的内容。", "接下来学习{names}。"),
)
LAST: Variants = Both(
    (
        "Nothing in your plan builds directly on this; use it in something of your own, so that it stays.",
        "This branch of your plan ends here. Put it to work on your goal within a week, or it will fade.",
    ),
    (
        "计划中没有直接建立在它之上的内容；请用到自己的事情里，才不会忘。",
        "计划的这一支到此为止。一周之内把它用到你的目标上，否则会淡忘。",
    ),
)
NOT_COVERED = Both(
    "The offline model knows nothing about **{title}** itself. What it can offer is a tutorial about how to learn it: "
    "**{way}**. Apply each step to {title}.",
    "离线模型并不了解“**{title}**”本身。它能提供的是一篇关于如何学习它的教程：**{way}**。请把每一步用到“{title}”上。",
)
SIGNATURE = Both(
    "*Written by Roadmap's offline model from its built-in knowledge pack; no language model was asked.*",
    "*本文由 Roadmap 的离线模型根据内置知识包写成，没有使用大语言模型。*",
)
