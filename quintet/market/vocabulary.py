"""The words of the simulated marketplace, in English and Chinese, and what goes with what.

A category is a topic that runs through the whole marketplace: its goods, its videos, its articles
and its people. That is what makes taste transfer from one scenario to another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("goods", "video", "article", "person")

#: what each scenario offers; ``feed`` mixes all kinds
SCENARIO_KINDS: dict[str, tuple[str, ...]] = {
    "shop": ("goods",),
    "feed": KINDS,
    "video": ("video",),
    "news": ("article",),
    "search": ("goods",),
    "people": ("person",),
}


@dataclass(frozen=True)
class Subcategory:
    """A shelf of one category; ``price`` is its typical price, ``period`` days a pack lasts."""

    english: str
    chinese: str
    price: float
    period: float = 0.0

    @property
    def consumable(self) -> bool:
        """Whether it is used up and bought again."""
        return self.period > 0


@dataclass(frozen=True)
class Category:
    """A topic with its shelves and the topics that complement it, the strongest first."""

    english: str
    chinese: str
    shelves: tuple[Subcategory, Subcategory, Subcategory]
    complements: tuple[str, str]


def _shelf(english: str, chinese: str, price: float, period: float = 0.0) -> Subcategory:
    return Subcategory(english, chinese, price, period)


CATEGORIES = (
    Category(
        "coffee",
        "咖啡",
        (_shelf("beans", "豆", 14, 8), _shelf("grinder", "磨豆机", 70), _shelf("mug", "杯", 12)),
        ("baking", "music"),
    ),
    Category(
        "tea",
        "茶",
        (_shelf("green tea", "绿茶", 11, 9), _shelf("teapot", "壶", 35), _shelf("tray", "盘", 22)),
        ("gardening", "baking"),
    ),
    Category(
        "baking",
        "烘焙",
        (_shelf("flour", "面粉", 5, 7), _shelf("mixer", "搅拌机", 90), _shelf("tin", "模具", 15)),
        ("tea", "coffee"),
    ),
    Category(
        "running",
        "跑步",
        (_shelf("gel", "能量胶", 9, 6), _shelf("shoes", "鞋", 95), _shelf("watch", "手表", 180)),
        ("skincare", "music"),
    ),
    Category(
        "cycling",
        "骑行",
        (_shelf("tube", "内胎", 8, 12), _shelf("helmet", "头盔", 60), _shelf("light", "灯", 25)),
        ("running", "camping"),
    ),
    Category(
        "camping",
        "露营",
        (_shelf("gas", "气罐", 7, 10), _shelf("tent", "帐篷", 150), _shelf("lamp", "营灯", 30)),
        ("photography", "cycling"),
    ),
    Category(
        "photography",
        "摄影",
        (_shelf("film", "胶卷", 13, 9), _shelf("camera", "相机", 420), _shelf("strap", "背带", 28)),
        ("camping", "gaming"),
    ),
    Category(
        "music",
        "音乐",
        (
            _shelf("strings", "琴弦", 10, 12),
            _shelf("amp", "音箱", 110),
            _shelf("mic", "麦", 75),
        ),
        ("gaming", "coffee"),
    ),
    Category(
        "gaming",
        "游戏",
        (_shelf("card", "点卡", 20, 7), _shelf("console", "主机", 320), _shelf("pad", "手柄", 50)),
        ("music", "photography"),
    ),
    Category(
        "skincare",
        "护肤",
        (_shelf("cream", "面霜", 24, 11), _shelf("mask", "面膜", 16, 6), _shelf("comb", "梳", 9)),
        ("running", "tea"),
    ),
    Category(
        "pets",
        "宠物",
        (_shelf("food", "粮", 26, 8), _shelf("litter", "猫砂", 12, 7), _shelf("bed", "窝", 40)),
        ("gardening", "cycling"),
    ),
    Category(
        "gardening",
        "园艺",
        (_shelf("seeds", "种子", 6, 10), _shelf("pot", "花盆", 18), _shelf("shears", "剪", 33)),
        ("pets", "tea"),
    ),
)

ENGLISH_STYLES = ("classic", "light", "travel", "pro", "soft", "bold", "daily", "compact")
CHINESE_STYLES = ("经典", "轻便", "旅行", "专业", "柔和", "浓郁", "日常", "小巧")
BRANDS = tuple(
    first + last
    for first in ("Al", "Bo", "Ca", "Do", "El", "Fu", "Gi", "Ha")
    for last in ("mora", "nto", "rex", "vina", "zumi")
)
ENGLISH_FORMS = {"video": "how to choose", "article": "news about", "person": "expert in"}
CHINESE_FORMS = {"video": "视频 怎么选", "article": "新闻 关于", "person": "达人"}


def complement_matrix() -> NDArray[np.float64]:
    """[C, C] probability that a buy in the row's category calls for the column's next."""
    row = {category.english: index for index, category in enumerate(CATEGORIES)}
    matrix = np.zeros((len(CATEGORIES), len(CATEGORIES)))
    for category in CATEGORIES:
        strong, weak = category.complements
        matrix[row[category.english], [row[strong], row[weak]]] = 0.7, 0.3
    return matrix


def title(
    kind: str, category: Category, shelf: Subcategory, brand: str, style: int, *, chinese: bool
) -> str:
    """The title of one item, in one of the two languages."""
    if chinese:
        words = [brand, CHINESE_STYLES[style], category.chinese, shelf.chinese]
        form = CHINESE_FORMS.get(kind)
    else:
        words = [brand, ENGLISH_STYLES[style], category.english, shelf.english]
        form = ENGLISH_FORMS.get(kind)
    return " ".join([form, *words[1:]] if form else words)


def query(category: Category, shelf: Subcategory, *, chinese: bool) -> str:
    """What a person types who looks for that shelf."""
    if chinese:
        return f"{category.chinese} {shelf.chinese}"
    return f"{category.english} {shelf.english}"
