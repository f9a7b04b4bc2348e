"""A user's module: what a prepared function reaches through it."""

from typing import ClassVar

import numpy as np

RATE = 2.0
TABLE = {"a": 2.0}


def helper(x):
    return RATE * np.sum(x**2)


class Meta(type):
    unit = 2.0


class Descriptor:
    def __get__(self, instance, owner):
        return RATE


class Model(metaclass=Meta):
    gain = 2.0
    weights = np.ones(4)
    table: ClassVar = {"a": 2.0}
    live = Descriptor()

    def run(self, x):
        return helper(x * self.weights) * self.gain * self.table["a"]

    @property
    def rate(self):
        return RATE

    @classmethod
    def make(cls, x):
        return cls.gain * np.sum(x**2)

    @staticmethod
    def still(x):
        return helper(x)


model = Model()
