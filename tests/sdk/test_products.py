"""Are all combinations of some values found by their numbers?"""

from __future__ import annotations

import numpy as np
from qfp.backtesting.products import Product
from qfp.backtesting.sharing import Groups

VALUES = {"fast": [3, 1, 2], "slow": ["x", "y"], "stop": [None, 0.5]}


def test_a_product_is_the_list_of_its_combinations():
    product = Product.of(VALUES)
    listed = list(product)
    assert len(product) == len(listed) == 12 and [product[number] for number in range(12)] == listed
    assert listed[5] == {"fast": 1, "slow": "x", "stop": 0.5} and product[-1] == listed[-1]
    assert Product.of({"fast": [1, 2, True]}) is None and Product.of({"fast": [[1], [2]]}) is None


def test_a_product_is_numbered_as_a_list_is():
    product = Product(VALUES)
    groups = [(), ("slow",), ("fast",), ("fast", "stop"), ("fast", "slow", "stop")]
    one, other = Groups(product, groups), Groups(list(product), groups)
    assert one.firsts == other.firsts
    assert all(np.array_equal(one.codes[group], other.codes[group]) for group in groups)
