"""Options of the choices: held to what they may be, where the choice is made."""

from __future__ import annotations

import concurrent.futures

import numpy as np
import pytest

import adselect as ad
from adselect.backends.registry import available_backends, choices_from, class_named
from adselect.errors import ADSelectError, ADSelectTypeError, ADSelectValueError

WRONG = [
    (ad.AutoTape, {"replay": 1}, ADSelectTypeError, "True or False"),
    (ad.AutoTape, {"native": "yes"}, ADSelectTypeError, "True or False"),
    (ad.AutoForward, {"chunk_size": 0}, ADSelectValueError, "from 1 on"),
    (ad.AutoForward, {"chunk_size": -3}, ADSelectValueError, "from 1 on"),
    (ad.AutoForward, {"chunk_size": 2.5}, ADSelectTypeError, "from 1 on"),
    (ad.AutoForward, {"chunk_size": "3"}, ADSelectTypeError, "from 1 on"),
    (ad.AutoForward, {"chunk_size": True}, ADSelectTypeError, "from 1 on"),
    (ad.AutoJax, {"jit": "no"}, ADSelectTypeError, "True or False"),
    (ad.AutoJax, {"face": "box"}, ADSelectValueError, "'numpy'"),
    (ad.AutoJax, {"face": None}, ADSelectValueError, "'numpy'"),
    (ad.AutoJax, {"own_rules": np.sin}, ADSelectTypeError, "tuple of functions"),
    (ad.AutoJax, {"own_rules": 3}, ADSelectTypeError, "tuple of functions"),
    (ad.AutoTorch, {"compile": None}, ADSelectTypeError, "True or False"),
    (ad.AutoTorch, {"device": "cudda"}, ADSelectValueError, "'cuda:0'"),
    (ad.AutoTorch, {"device": "cuda:x"}, ADSelectValueError, "'cuda:0'"),
    (ad.AutoTorch, {"device": 3.5}, ADSelectTypeError, "torch.device"),
    (ad.AutoTorch, {"face": "torch"}, ADSelectValueError, "'native'"),
    (ad.AutoAutograd, {"face": 1}, ADSelectValueError, "'native'"),
    (ad.AutoFiniteDifferences, {"order": 0}, ADSelectValueError, "even order"),
    (ad.AutoFiniteDifferences, {"order": 3}, ADSelectValueError, "even order"),
    (ad.AutoFiniteDifferences, {"order": 2.0}, ADSelectTypeError, "even order"),
    (ad.AutoFiniteDifferences, {"step": 0.0}, ADSelectValueError, "positive"),
    (ad.AutoFiniteDifferences, {"step": np.nan}, ADSelectValueError, "positive"),
    (ad.AutoFiniteDifferences, {"step": np.array([1e-3, -1e-3])}, ADSelectValueError, "positive"),
    (ad.AutoFiniteDifferences, {"step": "small"}, ADSelectValueError, '"auto"'),
    (ad.AutoFiniteDifferences, {"step": None}, ADSelectTypeError, '"auto"'),
    (ad.AutoFiniteDifferences, {"executor": 1}, ADSelectTypeError, "concurrent.futures.Executor"),
    (ad.AutoFiniteDifferences, {"executor": "threads"}, ADSelectTypeError, "Executor"),
]


@pytest.mark.parametrize(("cls", "options", "error", "says"), WRONG)
def test_wrong_options_are_refused_where_they_are_written(cls, options, error, says):
    (name,) = options
    with pytest.raises(error, match=rf"{name}.*{says}"):
        cls(**options)


def test_right_options_are_taken():
    assert ad.AutoForward(chunk_size=np.int64(3)) == ad.AutoForward(chunk_size=3)
    assert repr(ad.AutoForward(chunk_size=np.int64(3))) == "AutoForward(chunk_size=3)"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert ad.AutoFiniteDifferences(executor=pool).executor is pool
    for device in (None, "cpu", "cuda", "cuda:1", "mps"):
        assert ad.AutoTorch(device=device).device == device
    for step in ("auto", 1e-3, 1, np.float64(1e-3), np.array([1e-3, 1e-4]), [1e-3, 1e-4]):
        ad.AutoFiniteDifferences(step=step)


def test_a_device_that_is_not_there():
    torch = pytest.importorskip("torch")
    assert ad.gradient(lambda x: np.sum(x), ad.AutoTorch(device=torch.device("cpu")), np.ones(2))[0].tolist() == [1, 1]
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ADSelectValueError, match=r"AutoTorch\(device='cuda'\): torch cannot compute on device='cuda'"):
        ad.gradient(lambda x: np.sum(x), ad.AutoTorch(device="cuda"), np.ones(2))


# -- choices from texts ----------------------------------------------------------------------------------------------


def test_every_backend_is_known_by_its_names():
    for backend in available_backends():
        cls = type(backend.adtype)
        for text in (backend.name, cls.__name__, f"{cls.__name__}()", backend.name.upper(), f"adselect.{cls.__name__}"):
            assert class_named(text) is cls
        for alias in cls.aliases:
            assert class_named(alias) is cls


def test_choices_from_texts():
    texts = [
        "tape,fd",
        "auto_forward(chunk_size=3), AutoJax(jit=False)",
        "AutoFiniteDifferences(step=np.array([1., 2.]))",
    ]
    found = choices_from(texts)
    assert [repr(a) for a in found[:4]] == [
        "AutoTape()",
        "AutoFiniteDifferences()",
        "AutoForward(chunk_size=3)",
        "AutoJax(jit=False)",
    ]
    assert found[4].step.tolist() == [1.0, 2.0]
    for text, says in (
        ("theano", "no backend named 'theano'; known are tape"),
        ("tape(foo=1)", "foo"),
        ("jax(", "jax"),
    ):
        with pytest.raises(ADSelectError, match=says):
            choices_from([text])
    with pytest.raises(ADSelectValueError, match="chunk_size"):
        choices_from(["forward(chunk_size=0)"])


def test_a_strangers_backend_has_names_too():
    import dataclasses

    @dataclasses.dataclass(frozen=True, repr=False)
    class AutoStrangeOne(ad.ADType):
        backend = "adselect.backends.tape.backend:TapeBackend"
        aliases = ("oddone",)

    try:
        assert class_named("strange_one") is AutoStrangeOne
        assert class_named("Odd One") is AutoStrangeOne
        with pytest.raises(ADSelectTypeError, match=r"AutoStrangeOne\(\)"):
            ad.gradient(lambda x: x, "odd-one", 1.0)
    finally:
        AutoStrangeOne.backend = ""
