"""Writes VSI-Bench's English questions in Chinese, in many wordings, for tests.

The words are the writer's own: it shares no list with the package.
"""
# ruff: noqa: RUF001 - Chinese marks are meant.

from __future__ import annotations

import re

NAMES = {
    "backpack": "背包 双肩包", "basket": "篮子", "bathtub": "浴缸", "bed": "床",
    "blanket": "毯子 被子",
    "bookshelf": "书架 书柜", "bowl": "碗", "bucket": "水桶", "ceiling light": "吸顶灯 顶灯",
    "chair": "椅子", "clock": "钟 时钟", "closet": "衣柜 衣橱", "computer mouse": "鼠标",
    "computer tower": "电脑主机 机箱", "counter": "台面 柜台", "crate": "板条箱", "cup": "杯子",
    "cutting board": "砧板 菜板", "dishwasher": "洗碗机", "door": "门",
    "exhaust fan": "排气扇 抽风机",
    "fan": "风扇 电风扇", "fireplace": "壁炉", "guitar": "吉他", "heater": "加热器 取暖器",
    "kettle": "水壶", "keyboard": "键盘", "lamp": "灯", "laptop": "笔记本电脑",
    "microwave": "微波炉",
    "mirror": "镜子", "monitor": "显示器", "nightstand": "床头柜", "pan": "平底锅 锅",
    "piano": "钢琴",
    "pillow": "枕头", "plant": "植物 盆栽", "power strip": "插线板 排插", "printer": "打印机",
    "radiator": "暖气片 散热器", "refrigerator": "冰箱", "sofa": "沙发", "stool": "凳子",
    "stove": "炉灶 灶台", "suitcase": "行李箱 手提箱", "table": "桌子", "table lamp": "台灯",
    "telephone": "电话", "toilet": "马桶", "towel": "毛巾", "trash bin": "垃圾桶",
    "trash can": "垃圾箱", "tv": "电视 电视机", "washer": "洗衣机", "washing machine": "洗衣机",
    "whiteboard": "白板", "window": "窗户", "shower": "淋浴间", "desk": "书桌", "rug": "地毯",
}  # fmt: skip
MEASURE = {"chair": "把", "table": "张", "bed": "张", "lamp": "盏", "door": "扇", "window": "扇"}
TURNS = {"turn back": "向后转", "turn left": "左转", "turn right": "右转"}
SIDES = {"left": "左边", "right": "右边", "back": "后面", "front-left": "左前方",
         "front-right": "右前方", "back-left": "左后方", "back-right": "右后方"}  # fmt: skip
TRADITIONAL = str.maketrans("间个张离远从点电视门边还机书长", "間個張離遠從點電視門邊還機書長")
POINT = ("从每个物体的最近点测量，", "以两个物体最近的点为准，", "从最近点算起，", "")


class Writer:
    """One wording of each question, by a source of chance."""

    def __init__(self, random):
        self._random = random

    def write(self, question):
        """The Chinese question, or None for a sentence that the writer has no words for."""
        for pattern, make in FORMS:
            match = re.search(pattern, question, re.S)
            if match:
                text = make(self, *match.groups())
                return text.translate(TRADITIONAL) if self._random.random() < 0.2 else text
        return None

    def option(self, text):
        letter, _, rest = text.partition(". ")
        parts = [
            SIDES.get(part) or TURNS.get(part.lower()) or self.name(part)
            for part in rest.split(", ")
        ]
        return f"{letter}{self.one('. ', '、', '．')}{'、'.join(parts)}"

    def one(self, *ways):
        return self._random.choice(ways)

    def name(self, english):
        words = english.lower().strip().removeprefix("the ")
        return self.one(*NAMES[words].split()) if words in NAMES else english.strip()

    def names(self, text):
        names = [self.name(part) for part in text.split(", ")]
        if self.one(0, 1):
            return self.one("、", "，").join(names)
        return "、".join(names[:-1]) + self.one("和", "以及", "与") + names[-1]

    def stand(self, place, facing):
        place, facing = self.name(place), self.name(facing)
        return self.one(
            f"我站在{place}旁边面向{facing}，",
            f"如果我站在{place}旁边，面向{facing}，",
            f"假设我站在{place}旁并且面对着{facing}，",
            f"当我站在{place}附近、面朝{facing}时，",
            f"面向{facing}站在{place}旁边的时候，",
        )

    def count(self, thing):
        word, name = MEASURE.get(thing, "个"), self.name(thing)
        return self.one(
            f"房间里有几{word}{name}？", f"这个房间里一共有多少{word}{name}？",
            f"请问这间屋子里有多少个{name}？", f"{name}有几{word}？", f"数一数房间里的{name}。",
            f"房间里{name}的数量是多少？",
        )  # fmt: skip

    def size(self, thing):
        name = self.name(thing)
        return self.one(
            f"{name}的最长边是多少厘米？", f"{name}的长、宽、高中最长的一边是多少厘米？",
            f"{name}最长的一边有多长（单位：厘米）？", f"{name}的最大尺寸是多少公分？",
            f"以厘米为单位，{name}的最长边有多长？",
        )  # fmt: skip

    def room(self):
        note = self.one("", "如果显示了多个房间，请估计合并空间的大小。")
        return (
            self.one(
                "这个房间有多少平方米？", "房间的面积是多少平方米？", "这间屋子有多大（平方米）？",
                "请估计房间的大小，以平方米为单位。",
            ) + note
        )  # fmt: skip

    def distance(self, first, second):
        a, b = self.name(first), self.name(second)
        return self.one(*POINT) + self.one(
            f"{a}和{b}之间的距离是多少米？", f"{a}离{b}有多少米？", f"{a}与{b}相距多少米？",
            f"{a}到{b}的最短距离是多少（米）？", f"从{a}到{b}有多远，用米表示？",
        )  # fmt: skip

    def nearest(self, options, anchor):
        listed, b = self.names(options), self.name(anchor)
        return self.one(*POINT) + self.one(
            f"这些物体（{listed}）中哪个离{b}最近？", f"{listed}中，哪一个距离{b}最近？",
            f"以下物体中哪个离{b}最近：{listed}？", f"哪个离{b}最近，{listed}？",
            f"在{listed}里，哪个与{b}的距离最近？",
        )  # fmt: skip

    def quadrant(self, place, facing, target):
        ways = ["左前方", "右前方", "左后方", "右后方"]
        self._random.shuffle(ways)
        asked = self.one("、".join(ways[:3]) + "还是" + ways[3], "左前、右前、左后或者右后")
        note = self.one("", "（方向指的是笛卡尔平面的象限。）")
        where = f"{self.name(target)}{self.one('在', '是在')}我的{asked}"
        return f"{self.stand(place, facing)}{where}？{note}"

    def sides_and_back(self, place, facing, target):
        note = self.one("", "如果我需要转至少135度才能面对一个物体，它就在我的后面。")
        asked = self.one("左边、右边还是后面", "左侧、右侧或者背后", "左边，右边，还是后方")
        return f"{self.stand(place, facing)}{self.name(target)}在我的{asked}？{note}"

    def sides(self, place, facing, target, anchor):
        asked = self.one("左边还是右边", "左侧还是右侧", "右边还是左边", "左面或者右面")
        where = f"{self.name(target)}{self.one('在', '是在')}{self.name(anchor)}的{asked}"
        return f"{self.stand(place, facing)}{where}？"

    def order(self, listed):
        names = self.names(listed)
        return self.one(
            f"以下类别在视频中首次出现的顺序是什么：{names}？",
            f"{names}在视频中第一次出现的先后顺序是怎样的？", f"按首次出现的顺序排列：{names}。",
            f"视频里，{names}的出现顺序是什么？",
        )  # fmt: skip

    def route(self, start, facing, goal, rest):
        steps = []
        for part in re.split(r"\s*\d+\. ", rest)[1:]:
            step = part.split(". You have")[0].strip(" .")
            if "please fill in" in step.lower():
                steps.append(self.one("[请填写]", "[请填空]"))
            elif step.lower() in TURNS:
                steps.append(TURNS[step.lower()])
            else:
                place = re.sub(r"(?i)^go forward until (?:reaching )?", "", step)
                steps.append(f"{self.one('向前走到', '直走到', '往前走到')}{self.name(place)}")
        listed = " ".join(f"{i}. {step}" for i, step in enumerate(steps, start=1))
        begin = f"从{self.name(start)}开始，面向{self.name(facing)}"
        want = f"你想{self.one('去', '走到')}{self.name(goal)}"
        note = "（注意：对每个[请填写]，选择“向后转”、“左转”或“右转”）"
        return f"你是一个机器人，{begin}。{want}。你将执行以下动作{note}：{listed}。你已到达终点。"


_VIEW = r"standing by the (.+?) and facing the (.+?), is the (.+?) to "
_ROUTE = (
    r"beginning (?:at|by) the (.+?),? (?:and )?facing (?:to )?(?:the )?(.+?)\. "
    r"You want to navigate to the (.+?)\. (.+)"
)
FORMS = (
    (r"^How many (.+?)\(s\) are in this room", Writer.count),
    (r"longest dimension .* of the (.+?), measured in centimeters", Writer.size),
    (r"size of this room()", lambda writer, _: writer.room()),
    (r"distance between the (.+?) and the (.+?) \(in meters\)", Writer.distance),
    (r"which of these objects \((.+?)\) is the closest to the (.+?)\?", Writer.nearest),
    (_VIEW + "my front-left", Writer.quadrant),
    (_VIEW + "my left, right, or back", Writer.sides_and_back),
    (_VIEW + r"the left or the right of the (.+?)\?", Writer.sides),
    (r"following categories in the video: (.+?)\?", Writer.order),
    (_ROUTE, Writer.route),
)
