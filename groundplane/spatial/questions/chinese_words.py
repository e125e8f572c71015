"""Chinese words: names of things, and sentences brought to one writing.

Names lead to the English word that labels use; the first Chinese name of a thing is the one that
answers use. Common traditional characters are read as their simplified ones.
"""
# ruff: noqa: RUF001 - Chinese marks are meant.

from __future__ import annotations

import difflib
import re
import unicodedata

from groundplane.core.lexicon import canonical, normalise

__all__ = [
    "COLORS",
    "MEASURE_WORDS",
    "UNITS",
    "chinese_noun",
    "english_noun",
    "english_option",
    "is_chinese",
    "measure_word",
    "near_nouns",
    "simplify",
]

# English: its Chinese names, the commonest first. One line a group of things.
_THINGS = """
backpack: 背包 双肩包 书包; basket: 篮子 筐 筐子 篮筐; bathtub: 浴缸 浴盆 澡盆; bed: 床 床铺
blanket: 毯子 毛毯 被子 被褥; bookshelf: 书架 书柜 书橱; bowl: 碗; bucket: 水桶 桶
ceiling light: 吸顶灯 天花板灯 顶灯 天花灯; chair: 椅子 椅; clock: 时钟 钟 挂钟 钟表
closet: 衣柜 衣橱 壁橱 大衣柜; computer mouse: 鼠标 滑鼠; computer tower: 电脑主机 主机 机箱 主机箱
counter: 台面 柜台 操作台 厨房台面 流理台 吧台; crate: 板条箱 周转箱 货箱; cup: 杯子 杯 马克杯 水杯 茶杯
cutting board: 砧板 切菜板 菜板 案板; dishwasher: 洗碗机; door: 门 房门
exhaust fan: 排气扇 排风扇 换气扇 抽风机; fan: 风扇 电风扇 电扇; fireplace: 壁炉 火炉; guitar: 吉他
heater: 加热器 取暖器 电暖器 暖气 暖炉; kettle: 水壶 电水壶 烧水壶 热水壶; keyboard: 键盘; lamp: 灯 灯具 电灯
laptop: 笔记本电脑 笔记本 手提电脑 笔电; microwave: 微波炉; mirror: 镜子 镜; monitor: 显示器 屏幕 显示屏 电脑屏幕
nightstand: 床头柜; pan: 平底锅 煎锅 锅; piano: 钢琴; pillow: 枕头 枕; plant: 植物 盆栽 绿植 盆景
power strip: 插线板 排插 接线板 插座板; printer: 打印机 印表机; radiator: 暖气片 散热器; refrigerator: 冰箱 电冰箱
sofa: 沙发 长沙发; stool: 凳子 凳 板凳 圆凳; stove: 炉灶 灶台 炉子 灶 煤气灶 燃气灶; suitcase: 行李箱 手提箱 旅行箱 皮箱
table: 桌子 桌 台子; table lamp: 台灯; telephone: 电话 电话机 座机; toilet: 马桶 坐便器 抽水马桶; towel: 毛巾 浴巾
trash bin: 垃圾桶; trash can: 垃圾箱 垃圾筒 废纸篓 果皮箱; tv: 电视 电视机
washing machine: 洗衣机; whiteboard: 白板; window: 窗户 窗 窗子
desk: 书桌 办公桌 写字台 写字桌; bench: 长凳 长椅; armchair: 扶手椅 单人沙发; shelf: 架子 置物架 搁板; oven: 烤箱
sink: 水槽 洗手池 洗碗池 水池 洗脸盆; toaster: 烤面包机 面包机; vase: 花瓶; book: 书 书本 书籍; bottle: 瓶子 瓶
spoon: 勺子 汤匙 勺; fork: 叉子; knife: 刀 刀子 餐刀; rug: 地毯 毯; curtain: 窗帘 帘子; picture: 画 图画 挂画 装饰画
cabinet: 柜子 橱柜 柜 储物柜; dresser: 抽屉柜 五斗柜 斗柜; coffee table: 茶几 咖啡桌; dining table: 餐桌 饭桌
side table: 边桌 小边几 边几; tv stand: 电视柜; floor lamp: 落地灯; drawer: 抽屉; box: 箱子 盒子 纸箱 纸盒; bag: 袋子 包 包包
cushion: 靠垫 坐垫 抱枕; ottoman: 脚凳 脚踏; shower: 淋浴 淋浴间 花洒; faucet: 水龙头; doorframe: 门框
camera: 相机 照相机 摄像头; speaker: 音箱 音响 喇叭; projector: 投影仪 投影机; ladder: 梯子; flower: 花 花朵; tree: 树
candle: 蜡烛; jacket: 夹克 外套; coat: 大衣; rack: 衣帽架 挂架; poster: 海报; cell phone: 手机; remote: 遥控器
person: 人 行人; face: 脸 人脸 面孔; eye: 眼睛 人眼; bicycle: 自行车 单车 脚踏车; car: 汽车 轿车 小汽车 车; motorcycle: 摩托车
bus: 公交车 公共汽车 巴士; train: 火车 列车; truck: 卡车 货车; boat: 船 小船; airplane: 飞机; traffic light: 红绿灯 交通灯
fire hydrant: 消防栓; stop sign: 停车标志; parking meter: 停车计时器; bird: 鸟; cat: 猫; dog: 狗; horse: 马; sheep: 羊 绵羊
cow: 牛 奶牛; elephant: 大象; bear: 熊; zebra: 斑马; giraffe: 长颈鹿; umbrella: 雨伞 伞; handbag: 手提包 手袋; tie: 领带
frisbee: 飞盘; skis: 滑雪板; kite: 风筝; sports ball: 球; skateboard: 滑板; surfboard: 冲浪板; wine glass: 酒杯 高脚杯
banana: 香蕉; apple: 苹果; sandwich: 三明治; orange: 橙子 橘子; broccoli: 西兰花; carrot: 胡萝卜; hot dog: 热狗; pizza: 披萨 比萨
donut: 甜甜圈; cake: 蛋糕; scissors: 剪刀; teddy bear: 泰迪熊 玩具熊; hair drier: 吹风机; toothbrush: 牙刷; shoe: 鞋 鞋子
air conditioner: 空调 空调机; wall: 墙 墙壁; floor: 地板 地面; blinds: 百叶窗; whisk: 打蛋器; tissue box: 纸巾盒
"""
_NAMES: dict[str, tuple[str, ...]] = {
    english.strip(): tuple(names.split())
    for group in re.split(r"[;\n]", _THINGS.strip())
    for english, _, names in [group.partition(":")]
}
_ENGLISH = {name: english for english, names in _NAMES.items() for name in names}
_CHINESE = {english: names[0] for english, names in _NAMES.items()}
_CHINESE |= {canonical(english): names[0] for english, names in reversed(_NAMES.items())}

COLORS = {
    "红": "red", "蓝": "blue", "绿": "green", "黄": "yellow", "黑": "black", "白": "white",
    "灰": "gray", "棕": "brown", "褐": "brown", "橙": "orange", "紫": "purple", "粉": "pink",
    "粉红": "pink", "青": "cyan", "金": "gold", "银": "silver", "米": "beige",
}  # fmt: skip
MEASURE_WORDS = "[个把张台盏扇只条件块座幅部口面套组双对根支顶辆架匹头朵棵样种间盆本瓶名位]"
_COUNTED_WITH = {
    "chair": "把", "table": "张", "bed": "张", "sofa": "张", "lamp": "盏", "table lamp": "盏",
    "ceiling light": "盏", "door": "扇", "window": "扇", "tv": "台", "monitor": "台",
    "refrigerator": "台", "washing machine": "台", "washer": "台", "dishwasher": "台",
    "printer": "台", "laptop": "台", "microwave": "台", "fan": "台", "mirror": "面", "piano": "架",
    "blanket": "条", "towel": "条", "rug": "条", "guitar": "把", "kettle": "把", "desk": "张",
    "keyboard": "块", "whiteboard": "块", "cutting board": "块", "cat": "只", "dog": "只",
    "car": "辆", "bus": "辆", "bicycle": "辆", "picture": "幅", "book": "本",
}  # fmt: skip
UNITS = {
    "m2": "平方米|平米|平方公尺|m2|m²", "ft2": "平方英尺|平方呎|平尺", "cm2": "平方厘米|平方公分",
    "cm": "厘米|公分|cm", "mm": "毫米|公厘|mm", "ft": "英尺|呎|ft", "in": "英寸|英吋|吋|inch",
    "px": "像素", "m": "米|公尺|m",
}  # fmt: skip
_TRADITIONAL = (
    "間间裡里裏里個个張张臺台檯台盞盏燈灯電电視视門门窗窗櫃柜書书長长寬宽離离遠远從从點点測测處处"
    "邊边後后還还現现類类順顺別别這这幾几總总數数積积紅红藍蓝綠绿黃黄顏颜爐炉機机腦脑鍵键盤盘鏡镜"
    "鐘钟鍾钟馬马籃篮畫画頭头麼么嗎吗請请問问為为圖图場场廳厅廚厨臥卧對对過过經经達达終终轉转動动"
    "導导選选擇择較较與与於于單单應应該该開开關关體体隻只條条塊块樓楼層层寫写東东當当據据將将會会"
    "見见線线遙遥風风紙纸櫥橱鋼钢結结側侧們们給给鍋锅壺壶雙双燒烧熱热氣气衛卫飯饭帶带塵尘貓猫鳥鸟"
    "樹树車车輪轮飛飞舊旧褲裤傘伞錶表發发筆笔記记圓圆釐厘簾帘設设攝摄響响燭烛臉脸蘋苹羅罗蔔卜紮扎"
    "領领齒齿麵面顯显傳传無无項项標标時时麗丽窩窝牆墙寢寝剛刚個个兩两縱纵橫横豎竖歷历稱称變变樣样"
    "種种號号聲声實实際际彎弯繞绕內内圍围進进遞递靜静離离誰谁並并須须視视蓋盖擋挡從从頂顶滾滚衝冲"
    "獨独沖冲擊击麽么甚什"
)
_PAIRS = {ord(_TRADITIONAL[i]): _TRADITIONAL[i + 1] for i in range(0, len(_TRADITIONAL), 2)}
_CJK = re.compile(r"[\u3400-\u9fff]")
_BETWEEN = re.compile(r"(?<=[\u3400-\u9fff,.:;?!()、])\s+|\s+(?=[\u3400-\u9fff,.:;?!()、])")

_DIRECTIONS = {
    "左前": "front-left", "前左": "front-left", "右前": "front-right", "前右": "front-right",
    "左后": "back-left", "后左": "back-left", "右后": "back-right", "后右": "back-right",
    "左": "left", "右": "right", "前": "front", "后": "back", "身后": "back", "背后": "back",
}  # fmt: skip
_SIDE_ENDS = "(?:手)?(?:方向|方|边|侧|面)?"
_TURNS = {
    "向?往?左(?:转|拐)": "turn left", "向?往?右(?:转|拐)": "turn right",
    "(?:向后|往后|后|调|掉)(?:转|头)|转身|回头": "turn back",
}  # fmt: skip
_YES = {"是": "yes", "是的": "yes", "有": "yes", "对": "yes", "否": "no", "不是": "no",
        "没有": "no", "不": "no", "不对": "no"}  # fmt: skip


def is_chinese(text: str) -> bool:
    """Whether a text holds Chinese characters.

    Examples:
        >>> is_chinese("有几把椅子?"), is_chinese("How many chairs?")
        (True, False)
    """
    return _CJK.search(text) is not None


def simplify(text: str) -> str:
    """One writing: simplified characters, ASCII marks, small letters, no spaces in Chinese.

    Examples:
        >>> simplify("房間裡有幾張桌子？")
        '房间里有几张桌子?'
    """
    text = unicodedata.normalize("NFKC", text).translate(_PAIRS).lower()
    text = text.translate(str.maketrans("。「」『』“”‘’【】〔〕，；：？！…", ".''''''''[][],;:?!."))
    return _BETWEEN.sub("", " ".join(text.split()))


def english_noun(name: str) -> str | None:
    """The English word of a Chinese name; None where it is not known.

    Examples:
        >>> english_noun("沙发"), english_noun("独角兽") is None
        ('sofa', True)
    """
    return _ENGLISH.get(name)


def chinese_noun(label: str) -> str:
    """The Chinese name of a label; the label itself where none is known.

    Examples:
        >>> chinese_noun("couch"), chinese_noun("red chair"), chinese_noun("unicorn")
        ('沙发', '红色的椅子', 'unicorn')
    """
    words = normalise(label)
    for known in (words, canonical(words)):
        if known in _CHINESE:
            return _CHINESE[known]
    first, _, rest = words.partition(" ")
    color = next((name for name, english in COLORS.items() if english == first), None)
    return f"{color}色的{chinese_noun(rest)}" if color and rest else label


def measure_word(label: str) -> str:
    """The word that stands between a number and a thing.

    Examples:
        >>> measure_word("chairs"), measure_word("cup")
        ('把', '个')
    """
    return _COUNTED_WITH.get(normalise(label), _COUNTED_WITH.get(canonical(label), "个"))


def near_nouns(name: str, *, limit: int = 3) -> tuple[str, ...]:
    """Known names that look like an unknown one.

    Examples:
        >>> near_nouns("冰厢")
        ('冰箱',)
    """
    near = difflib.get_close_matches(name, _ENGLISH, n=limit, cutoff=0.5)
    return tuple(near)


def english_option(option: str) -> str:
    """An option of a choice in English: a direction, turns, things, or a number with its unit.

    Examples:
        >>> english_option("左前方"), english_option("椅子、门"), english_option("左转，右转")
        ('front-left', 'chair, door', 'turn left, turn right')
        >>> english_option("2.5米"), english_option("lamp")
        ('2.5 m', 'lamp')
    """
    if not is_chinese(option):
        return option
    parts = [part for part in re.split(r"[,、;，]", simplify(option).strip(" .")) if part]
    return ", ".join(_english_part(part.strip()) for part in parts)


def _english_part(part: str) -> str:
    for turn, english in _TURNS.items():
        if re.fullmatch(turn, part):
            return english
    if part in _YES:
        return _YES[part]
    found = re.fullmatch(rf"(?:在)?(?:我)?(?:的)?(.+?){_SIDE_ENDS}", part)
    for way in (part, found[1] if found else ""):
        if way in _DIRECTIONS:
            return _DIRECTIONS[way]
    number = re.fullmatch(r"(?:约|大约)?(\d+(?:\.\d+)?)(.*)", part)
    if number:
        unit = next((u for u, words in UNITS.items() if re.fullmatch(words, number[2])), "")
        return f"{number[1]} {unit}".strip()
    return english_noun(part) or part
