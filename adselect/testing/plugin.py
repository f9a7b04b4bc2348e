"""pytest plugin: the ``adtype`` fixture runs a test once per installed backend, ``--adtypes`` says on which.

``def test_my_loss(adtype): …`` is all a test needs; ``pytest --adtypes tape,jax`` chooses backends by name.
"""

from __future__ import annotations

import pytest

__all__ = ["adtype"]

_PARAMETER = "_adselect_choice"  # parametrised only where our own fixture is in use, not a fixture of the same name


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option ``--adtypes``."""
    group = parser.getgroup("adselect")
    group.addoption(
        "--adtypes",
        default=None,
        metavar="NAMES",
        help="backends for the adtype fixture, separated by commas (default: all that are installed)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per backend for tests that use the ``adtype`` fixture."""
    if _PARAMETER not in metafunc.fixturenames:
        return
    from ..backends.registry import available_backends

    backends = available_backends()
    chosen = metafunc.config.getoption("--adtypes")
    if chosen is None:
        selected = [b for b in backends if b.installed]
    else:
        known = {b.name: b for b in backends}
        names = [n.strip().lower().removeprefix("auto").removesuffix("()") for n in chosen.split(",") if n.strip()]
        unknown = [n for n in names if n not in known]
        if unknown:
            raise pytest.UsageError(f"--adtypes: no backend named {', '.join(unknown)}; known are {', '.join(known)}")
        selected = [known[n] for n in names]
    metafunc.parametrize(_PARAMETER, [pytest.param(b, id=b.name) for b in selected], indirect=True, scope="session")


@pytest.fixture(scope="session")
def _adselect_choice(request: pytest.FixtureRequest) -> object:
    """One backend's entry in the list of backends; a missing package skips the test."""
    backend = request.param
    if not backend.installed:
        pytest.skip(f"{backend.adtype.requires} is not installed: {backend.install}")
    return backend.adtype


@pytest.fixture(scope="session")
def adtype(_adselect_choice: object) -> object:
    """An adtype of every installed backend in turn."""
    return _adselect_choice
