"""The demo shop: a believable shop made of a seed, with the truth behind it, for tests, tours and first trials.

Visitors with tastes, moods of the hour and day rhythms are shown products in words; their clicks, dwell times,
purchases, ratings, reviews and searches follow what they like, so a model has something to find.
"""

from training.shop.shop import ItemTruth, Shop, ShopperTruth, Truth, generate, oracle, write

__all__ = ["ItemTruth", "Shop", "ShopperTruth", "Truth", "generate", "oracle", "write"]
