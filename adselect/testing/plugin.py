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
    from ..backends.registry import available_backends, choices_from, name_of
    from ..errors import ADSelectError

    chosen = metafunc.config.getoption("--adtypes")
    if chosen is None:
        selected = [b.adtype for b in available_backends() if b.installed]
    else:
        try:
            selected = choices_from([chosen])
        except ADSelectError as error:
            raise pytest.UsageError(f"--adtypes: {error}") from None
    # Two choices of one backend are told apart by their options.
    names = [name_of(a) if repr(a) == f"{type(a).__name__}()" else repr(a) for a in selected]
    parameters = [pytest.param(a, id=name) for a, name in zip(selected, names, strict=True)]
    metafunc.parametrize(_PARAMETER, parameters, indirect=True, scope="session")


@pytest.fixture(scope="session")
def _adselect_choice(request: pytest.FixtureRequest) -> object:
    """One choice; a missing package skips the test."""
    from ..backends.choice import installed
    from ..backends.registry import install_line

    adtype = request.param
    if not installed(adtype):
        pytest.skip(f"{adtype.requires} is not installed: {install_line(adtype)}")
    return adtype


@pytest.fixture(scope="session")
def adtype(_adselect_choice: object) -> object:
    """An adtype of every installed backend in turn."""
    return _adselect_choice
