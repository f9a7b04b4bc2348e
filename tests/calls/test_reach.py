"""What f reaches: paths in words, and installed packages, which are read only where they hold an array."""

from __future__ import annotations

import networkx
import numpy as np

from adselect.calls.installed import holds, is_installed
from adselect.calls.reach import Reach


def test_paths_in_words():
    W, generator = np.ones(2), (w for w in [np.ones(2)])

    class Model:
        def __init__(self):
            self.parts = {"a": [W, generator]}

        def total(self):
            return np.sum(self.parts["a"][0])

    model = Model()
    reach = Reach(lambda: model.total(), [W])
    assert reach.reached == [True]
    assert reach.path(id(generator)) == "f → model.parts['a'][1]"
    assert id(model) in reach.leading
    assert id(generator) not in reach.leading  # nothing in it leads to W
    kept = [np.zeros(3)]
    assert Reach(lambda: kept, [np.ones(3)]).alike_to(np.ones(3)) == ["f → kept[0]"]


def test_which_packages_are_installed():
    assert is_installed("networkx")
    assert not is_installed("tests")
    assert not is_installed("no_such_package")


def test_an_installed_package_is_not_read(monkeypatch):
    W, graph = np.ones(2), networkx.path_graph(3)
    f = lambda: np.sum(W) * len(networkx.path_graph(2)) * len(graph)
    reach = Reach(f, [W])
    assert reach.reached == [True]
    assert len(reach.holders) < 100
    # but where it holds the array
    V = np.ones(2)
    assert not holds("networkx", [W])
    monkeypatch.setattr(networkx, "kept_by_a_test", {"a": [V]}, raising=False)
    assert holds("networkx", [V])
    assert Reach(lambda: networkx.kept_by_a_test["a"], [V]).reached == [True]
    graph.add_node("mine", array=V)  # what an instance of one of its classes holds is seen anyway
    assert Reach(lambda: graph.nodes["mine"], [V]).reached == [True]
